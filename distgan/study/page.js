"use strict";

// What a person has done so far, as pure functions. An image's time runs from when it was first shown.
const Session = {
  // A random order of its own for every person, always the same of the same name.
  order(ids, seed) {
    let state = 2166136261;
    for (const one of seed) state = Math.imul(state ^ one.codePointAt(0), 16777619);
    const random = () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
    const order = [...ids];
    for (let last = order.length - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1));
      [order[last], order[other]] = [order[other], order[last]];
    }
    return order;
  },
  begun(study, person, now) {
    const ids = study.images.map((one) => one.id);
    return { study: study.id, person, begun: now, order: Session.order(ids, study.id + "/" + person), shown: {}, answers: [] };
  },
  // The image to be judged; undefined when all are.
  current: (session) => session.order[session.answers.length],
  shown: (session, now) => ({ ...session, shown: { [Session.current(session)]: now, ...session.shown } }),
  answered(session, said, now) {
    const image = Session.current(session);
    const seconds = Math.round(now - session.shown[image]) / 1000;
    const answer = { image, said, seconds, at: new Date(now).toISOString() };
    return { ...session, answers: [...session.answers, answer] };
  },
  back: (session) => ({ ...session, answers: session.answers.slice(0, -1) }),
  file(session) {
    const { study, person, begun, order, answers } = session;
    const done = answers.length === order.length;
    return JSON.stringify({ study, person, begun: new Date(begun).toISOString(), done, answers }, null, 1) + "\n";
  },
};

// Small images are enlarged by a whole number, to about so many pixels; more would show squares instead of cells.
const LARGEST = 448;

function page(document, store) {
  const at = (id) => document.getElementById(id);
  const study = JSON.parse(at("study").textContent);
  const source = new Map(study.images.map((one) => [one.id, one.png]));
  const url = (png) => "data:image/png;base64," + png;
  let session = null;
  let timer = 0;

  const key = (person) => "distgan-study/" + study.id + "/" + person;
  const kept = (person) => { try { return JSON.parse(store.getItem(key(person))); } catch { return null; } };
  const keep = () => { try { store.setItem(key(session.person), JSON.stringify(session)); } catch { at("forgetful").hidden = false; } };
  const open = (name) => { for (const one of document.querySelectorAll("section")) one.hidden = one.id !== name; };

  function size() {
    const image = at("image"), stage = image.parentElement;
    const fits = Math.min(stage.clientWidth / study.width, stage.clientHeight / study.height);
    const scale = fits < 1 ? fits : Math.floor(Math.min(fits, Math.max(1, LARGEST / study.width)));
    image.style.width = study.width * scale + "px";
    image.style.imageRendering = scale < 1 ? "auto" : "";
  }

  function limit(left) {
    clearTimeout(timer);
    const over = study.seconds > 0 && left <= 0;
    at("image").hidden = over;
    at("over").hidden = !over;
    if (study.seconds > 0 && !over) timer = setTimeout(limit, left, 0);
  }

  function show() {
    keep();
    const done = session.answers.length, all = session.order.length, image = Session.current(session);
    if (!image) { clearTimeout(timer); open("end"); at("download").focus(); return; }
    session = Session.shown(session, Date.now());
    keep();
    open("trial");
    at("image").src = url(source.get(image));
    at("image").alt = "Image " + (done + 1);
    at("progress").max = all;
    at("progress").value = done;
    at("position").textContent = done + 1 + " of " + all;
    at("back").disabled = done === 0;
    size();
    limit(1000 * study.seconds - (Date.now() - session.shown[image]));
  }

  const say = (said) => { session = Session.answered(session, said, Date.now()); show(); };
  const back = () => { if (session.answers.length) { session = Session.back(session); show(); } };

  function download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([Session.file(session)], { type: "application/json" }));
    link.download = "answers-" + session.person.replace(/[^\p{L}\p{N}]+/gu, "-") + ".json";
    link.click();
  }

  for (const one of study.examples) {
    const image = document.createElement("img");
    image.src = url(one.png);
    image.alt = one.made ? "a generated image" : "a real image";
    at(one.made ? "generated-examples" : "real-examples").append(image);
  }
  at("count").textContent = study.images.length;
  at("seconds").textContent = study.seconds;
  at("limit").hidden = !study.seconds;
  try { store.setItem(key(""), ""); } catch { at("forgetful").hidden = false; }

  at("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    const person = at("person").value.trim();
    if (!person) return;
    session = kept(person) ?? Session.begun(study, person, Date.now());
    document.activeElement.blur();
    if (study.examples.length && !session.answers.length) open("examples"); else show();
  });
  at("examples-seen").addEventListener("click", show);
  at("real").addEventListener("click", () => say("real"));
  at("generated").addEventListener("click", () => say("generated"));
  at("back").addEventListener("click", back);
  at("reconsider").addEventListener("click", back);
  at("so-far").addEventListener("click", download);
  at("download").addEventListener("click", download);
  document.addEventListener("keydown", (event) => {
    if (at("trial").hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const chosen = { r: "real", arrowleft: "real", g: "generated", arrowright: "generated" }[event.key.toLowerCase()];
    if (chosen) say(chosen);
    else if (event.key === "Backspace") back();
    else return;
    event.preventDefault();
  });
  window.addEventListener("resize", size);
}

if (typeof document === "undefined") module.exports = { Session };
else {
  let store = null;
  try { store = window.localStorage; } catch { /* the page says so */ }
  page(document, store);
}
