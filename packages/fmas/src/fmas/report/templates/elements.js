"use strict";
// Small words for making elements. Text is always set as text: nothing in a row can become markup.

const SVG = "http://www.w3.org/2000/svg";

const setAll = (element, attributes) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
};

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  setAll(element, attributes);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

// Text from outside may be written from right to left, or claim to be; it must not turn around what stands beside it.
const apart = (text) => make("bdi", { text });

const draw = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS(SVG, tag);
  setAll(element, attributes);
  element.append(...children);
  return element;
};

const byId = (id) => document.getElementById(id);

const grouped = new Intl.NumberFormat("en-US");
const counted = (number) => grouped.format(number);

const plural = (number, one, many = `${one}s`) => `${counted(number)} ${number === 1 ? one : many}`;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// What a screen reader is told. The same words twice in a row would be kept quiet, hence the second, invisible space.
const say = (words) => {
  const said = byId("said");
  said.textContent = said.textContent === words ? `${words}\u00a0` : words;
};

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

// A browser may refuse to store anything for a page; then it is forgotten, no more.
const remember = (key, value) => {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    /* nothing to do */
  }
};

const recall = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
};

const keysStored = () => {
  try {
    return Object.keys(localStorage);
  } catch {
    return [];
  }
};

// The part of the address behind the `#`: what is shown, as `name=value&…`.
const address = {
  read: () => new URLSearchParams(location.hash.slice(1)),
  write: (values) => {
    const held = address.read();
    for (const [name, value] of Object.entries(values)) {
      if (value === null) held.delete(name);
      else held.set(name, value);
    }
    const hash = held.toString();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", `${location.pathname}${location.search}${hash && `#${hash}`}`);
  },
};
