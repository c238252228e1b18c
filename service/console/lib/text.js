// The texts of the console in the language of the browser; English where there is no translation.

import en from "../texts/en.js";
import pt from "../texts/pt.js";

export const language = navigator.language.toLowerCase().startsWith("pt") ? "pt-BR" : "en";

const texts = language === "en" ? en : pt;

/** Return a text, with `{name}` replaced by the value of that name. */
export function t(key, values = {}) {
  return texts[key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

const counts = new Intl.NumberFormat(language);

/** Write a whole number, with separators. */
export const formatCount = (count) => counts.format(count);
