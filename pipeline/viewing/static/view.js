// What pages do beside being read: forms that go off when a choice is made.
"use strict";
for (const select of document.querySelectorAll("select[data-submit]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
// Fields that say nothing stay out of the address, so that it can be read, and passed on.
for (const form of document.querySelectorAll("form[method=get]")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) {
      if (field.name && !field.value) field.disabled = true;
    }
  });
  window.addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
}
// Keys of what can be pressed: not while something is typed, nor with a key that is the browser's.
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const found = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (found) found.click();
});
// What scrolls can be scrolled by keys; what does not is no stop on their way.
for (const box of document.querySelectorAll(".body")) {
  if (box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
}
