"""Many runs -> comparisons, benchmarks. May import every other room."""
