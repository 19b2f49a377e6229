// The keyboard of the forms. A page works without this file: it only saves the mouse.
//   1-5  a point of the question at hand, then on to the next one      A, B  go to an answer (arena: vote for it)
//   Q-P  mark an error of the answer at hand                           Enter submits, Z changes the last answer
"use strict";
(() => {
  const form = document.querySelector("form[data-task]");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const questions = all("fieldset.question", form ?? document.createElement("div"));
  const answered = question => question.querySelector("input:checked") !== null;

  // The key's letter: as typed where the layout has Latin letters, else where it lies on a Latin keyboard.
  const letterOf = event => {
    if (/^[a-z]$/i.test(event.key)) return event.key.toLowerCase();
    return /^Key[A-Z]$/.test(event.code) ? event.code.slice(3).toLowerCase() : "";
  };
  const digitOf = event => {
    const found = /^(?:Digit|Numpad)([1-9])$/.exec(event.code) ?? /^([1-9])$/.exec(event.key);
    return found ? Number(found[1]) : 0;
  };

  // The question at hand: the one with the focus, else the first without an answer in the answer with the focus, else
  // the first without an answer on the page.
  const atHand = () => {
    const focus = document.activeElement;
    const own = focus.closest("fieldset.question");
    if (own) return own;
    const side = focus.closest(".side");
    const near = side ? questions.filter(each => side.contains(each)) : questions;
    return near.find(each => !answered(each)) ?? near[0];
  };
  const show = () => {
    const now = atHand();
    for (const each of questions) each.classList.toggle("now", each === now);
  };
  const go = target => {
    (target.querySelector("input:checked") ?? target.querySelector("input")).focus();
    show();
  };
  const choose = number => {
    const question = atHand();
    const input = question && all("input", question)[number - 1];
    if (!input) return;
    input.checked = true;
    const after = questions.slice(questions.indexOf(question) + 1).concat(questions);
    const next = after.find(each => !answered(each));
    if (next) go(next);
    else { document.querySelector("form[data-task] button.main").focus(); show(); }
  };
  const visit = name => {
    const side = document.querySelector(`.side[data-side="${name}"]`);
    const own = questions.filter(each => side.contains(each));
    go(own.find(each => !answered(each)) ?? own[0]);
  };
  const press = letter => {
    if (letter === "z") { document.querySelector("button[data-key=z]")?.click(); return; }
    const choices = all(`input[data-key="${letter}"]`);
    if (!choices.length && (letter === "a" || letter === "b")) { visit(letter === "a" ? "first" : "second"); return; }
    const side = (document.activeElement.closest(".side") ?? atHand()?.closest(".side")) ?? form;
    const choice = choices.find(each => side.contains(each)) ?? choices[0];
    if (!choice) return;
    const keep = side.contains(document.activeElement);
    choice.click();
    if (!keep || choice.type === "radio") choice.focus();
    show();
  };

  const writes = target => target.matches("input:not([type=radio]):not([type=checkbox]), textarea, select");
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || writes(event.target)) return;
    const letter = letterOf(event), digit = digitOf(event);
    if (event.key === "Enter" && form && !event.target.matches("button, a, summary")) form.requestSubmit();
    else if (digit && form) choose(digit);
    else if (letter && (form || letter === "z")) press(letter);
    else return;
    event.preventDefault();
  });
  document.addEventListener("focusin", show);
  document.addEventListener("change", show);

  // One submission a page. The server counts it once anyway; this spares the rater an error page.
  document.addEventListener("submit", event => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => {
    for (const each of document.forms) delete each.dataset.sent;
    show();
  });
})();
