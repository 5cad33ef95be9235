"""Atelier's rooms below the screen: no module here knows Streamlit."""
