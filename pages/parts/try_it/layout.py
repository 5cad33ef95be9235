"""The page's arrangement as CSS: the drop area is the hero, and on a phone the answer follows it at once."""

STYLE = """<style>
.st-key-try-layout { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 7fr); gap: 1rem 2.5rem;
  grid-template-areas: "drop answer" "tests answer"; grid-template-rows: auto 1fr; align-items: start; }
.st-key-try-layout > :has(> .st-key-try-drop) { grid-area: drop; }
.st-key-try-layout > :has(> .st-key-try-answer) { grid-area: answer; }
.st-key-try-layout > :has(> .st-key-try-tests) { grid-area: tests; }
.st-key-pictures [data-testid=stFileUploaderDropzone] { flex-direction: column; justify-content: center;
  align-items: center; gap: 0.6rem; min-height: 13rem; height: auto; text-align: center;
  border: 2px dashed var(--st-primary-color, #1d4ed8); }
.st-key-pictures [data-testid=stFileUploaderDropzone]::before { content: "Drop a picture here"; font-size: 1.35rem;
  font-weight: 600; }
[data-testid=stElementContainer]:has(.unseen) { position: absolute; } .unseen { position: absolute; left: -9999px; }
.st-key-answer-columns { display: grid; grid-template-columns: minmax(0, 4fr) minmax(0, 5fr); gap: 1.5rem;
  align-items: start; }
.st-key-answer-columns [data-testid=stImage] img { max-height: 26rem; object-fit: contain; }
@media (max-width: 700px) {
  .st-key-try-layout { grid-template-columns: minmax(0, 1fr); grid-template-areas: "drop" "answer" "tests"; }
  .st-key-pictures [data-testid=stFileUploaderDropzone] { min-height: 6.5rem; padding: 0.6rem; gap: 0.3rem; }
  .st-key-pictures [data-testid=stFileUploaderDropzone]::before { content: "Choose or drop a picture";
    font-size: 1.05rem; }
  .st-key-answer-columns { grid-template-columns: 6.5rem minmax(0, 1fr); gap: 0.8rem; }
  .st-key-answer-columns h3 { font-size: 1.35rem; }
}
</style>"""
HEADING = '<h2 class="unseen">Answer</h2>'  # for who listens: the answer's own is of the third level
