// Answers of an exported model of recurra, in Node and in browsers.
//
//     npm install onnxruntime-web @huggingface/tokenizers @noble/hashes
//     node client.mjs "a text" ...       a classifier, a tagger or a language model
//     node client.mjs rows.json          a forecaster: {"rows": [[...], ...], "last": 1.5}
//
// In a page:
//
//     import * as ort from "onnxruntime-web";
//     import { Tokenizer } from "@huggingface/tokenizers";
//     import { blake2b } from "@noble/hashes/blake2.js";
//     import { Model } from "./client.mjs";
//     const read = async (name) => (await fetch(`my-model-onnx/${name}`)).arrayBuffer();
//     const model = await Model.load(read, { ort, Tokenizer, blake2b });
//     const [answer] = await model.predict(["a text"]);

const TAG = /<[A-Za-z/!][^<>]{0,300}>/gu;
const BARE_ENTITY = /(?<!&)#([0-9]{2,5});/gu;
const ENDLESS_ENTITY = /&#(?:[0-9]{32,}|[xX][0-9A-Fa-f]{32,});?/gu;
const ENTITY = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/gu;
const CONTROL = /[\x00-\x1f\x7f-\x9f\ufeff\u200b-\u200f\u2028\u2029\u2060\ud800-\udfff]+/gu;
const WORD = /[\p{L}\p{N}_]+(?:['’][\p{L}\p{N}_]+)*|[^\p{L}\p{N}_\s]/gu;
const UNSPACED =
  /([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{3ffff}])/gu;
const CHUNK =
  /(?:https?:\/\/|www\.)\S+|[\p{L}\p{N}_.+-]+@[\p{L}\p{N}_][\p{L}\p{N}_-]*(?:\.[\p{L}\p{N}_-]+)+|\p{Nd}+(?:[.,:/]\p{Nd}+)*|[\p{L}\p{N}_](?:\.[\p{L}\p{N}_])+\.?|[\p{L}\p{N}_]+(?:['’][\p{L}\p{N}_]+)*|(\S)\1*/gu;
const CLITIC = /^(.+?)(n['’]t|['’](?:s|m|d|re|ve|ll))$/iu;

/** Returns a text with its HTML entities decoded, as Python's html.unescape does. */
function unescape(text, entities) {
  return text.replace(ENTITY, (whole, name) => {
    if (name[0] === "#") {
      const hexadecimal = name[1] === "x" || name[1] === "X";
      const digits = name.slice(hexadecimal ? 2 : 1).replace(";", "");
      const number = parseInt(digits, hexadecimal ? 16 : 10);
      if (number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff)) return "\ufffd";
      return entities.numbers[number] ?? String.fromCodePoint(number);
    }
    for (let length = name.length; length > 1; length--) {
      const found = entities.names[name.slice(0, length)];
      if (found !== undefined) return found + name.slice(length);
    }
    return whole;
  });
}

/** Returns a text without control characters and, if entities are given, without tags and entities. */
export function clean(text, entities) {
  if (entities) {
    if (/[&#]/u.test(text)) {
      text = unescape(text.replace(BARE_ENTITY, "&#$1;").replace(ENDLESS_ENTITY, " "), entities);
    }
    text = text.replace(TAG, " ");
  }
  return text.replace(CONTROL, " ");
}

/** Returns the words of a cleaned text that n-grams are made of. */
export function wordsOf(text) {
  return text.toLowerCase().replace(UNSPACED, " $1 ").match(WORD) ?? [];
}

/** Returns the pieces of `size` code points of a word of 3 or more, with a space on both sides. */
export function piecesOf(word, size) {
  const whole = [" ", ...word, " "];
  if (whole.length < 5) return [];
  return whole.slice(size - 1).map((_, begin) => whole.slice(begin, begin + size).join(""));
}

/** Returns the words and marks of a sentence, as a tagger reads them. */
export function splitWords(text) {
  return (text.match(CHUNK) ?? []).flatMap((chunk) => {
    const clitic = CLITIC.exec(chunk);
    return clitic ? [clitic[1], clitic[2]] : [chunk];
  });
}

/** An exported model. */
export class Model {
  /**
   * @param read returns the bytes of a file of the export, by name.
   * @param libraries ort, Tokenizer and blake2b, as at the top of this file.
   * @param options file: the model, such as "model.int8.onnx"; segment: puts spaces between Chinese words.
   */
  static async load(read, libraries, { file = "model.onnx", segment = null } = {}) {
    const json = async (name) => JSON.parse(new TextDecoder().decode(await read(name)));
    const model = new Model();
    Object.assign(model, libraries, { segment, signature: await json("signature.json"), hashes: new Map() });
    const { tokenizer, ngrams, vocabulary } = model.signature;
    if (tokenizer?.segment_chinese && !segment) {
      throw new Error("the model reads Chinese by word: give options.segment, such as a function of jieba");
    }
    if (tokenizer) model.tokenizer = new libraries.Tokenizer(await json("tokenizer.json"), {});
    if (tokenizer?.strip_html || ngrams) model.entities = await json("entities.json");
    if (vocabulary) {
      const { words, characters } = await json("vocabulary.json");
      model.words = new Map(words.map((word, number) => [word, number + 2]));
      model.characters = new Map(Array.from(characters, (letter, number) => [letter, number + 4]));
    }
    model.session = await libraries.ort.InferenceSession.create(new Uint8Array(await read(file)));
    return model;
  }

  /** Returns the outputs by name. */
  run(inputs) {
    return this.session.run(inputs);
  }

  /** Returns rows of numbers as a tensor, padded with 0, and one of their lengths. */
  padded(rows) {
    const width = Math.max(1, ...rows.map((row) => row.length));
    const table = new BigInt64Array(rows.length * width);
    rows.forEach((row, number) => row.forEach((id, place) => (table[number * width + place] = BigInt(id))));
    return [this.integers(table, [rows.length, width]), this.integers(rows.map((row) => row.length), [rows.length])];
  }

  integers(values, shape) {
    const data = values instanceof BigInt64Array ? values : BigInt64Array.from(values, BigInt);
    return new this.ort.Tensor("int64", data, shape);
  }

  /** Returns the token ids of a text. */
  encode(text) {
    const settings = this.signature.tokenizer;
    text = clean(text, settings.strip_html ? this.entities : null);
    if (settings.segment_chinese) text = this.segment(text);
    // Letter by letter, as the tokenizer in Python; JavaScript has another small sigma at the end of a word.
    if (settings.lowercase) text = text.normalize("NFKC").replaceAll("Σ", "σ");
    const found = this.tokenizer.encode(text, { add_special_tokens: false }).ids;
    let ids = found.map((id) => id ?? settings.unknown_id);
    const start = settings.start_id === null ? [] : [settings.start_id];
    const room = settings.max_tokens - start.length;
    ids = settings.cut === "end" ? ids.slice(0, room) : ids.slice(Math.max(0, ids.length - room));
    ids = [...start, ...ids];
    return ids.length ? ids : [settings.unknown_id];
  }

  /** Returns the 64-bit hash of a word or piece, as a signed BigInt. */
  hashOf(word) {
    if (!this.hashes.has(word)) {
      const digest = this.blake2b(new TextEncoder().encode(word), { dkLen: 8 });
      this.hashes.set(word, new DataView(digest.buffer, digest.byteOffset).getBigInt64(0, true));
    }
    return this.hashes.get(word);
  }

  /** Returns the inputs of texts, for a classifier. */
  inputs(texts) {
    const { tokenizer, ngrams } = this.signature;
    const found = {};
    if (tokenizer) [found.tokens, found.lengths] = this.padded(texts.map((text) => this.encode(text)));
    if (ngrams) {
      const words = texts.map((text) => {
        const first = text.length > ngrams.longest_text ? Array.from(text).slice(0, ngrams.longest_text).join("") : text;
        return wordsOf(clean(first, this.entities));
      });
      const hashed = (rows) => this.padded(rows.map((row) => row.map((word) => this.hashOf(word))));
      [found.ngram_words, found.ngram_lengths] = hashed(words);
      if (ngrams.piece) {
        const pieces = words.map((row) => row.flatMap((word) => piecesOf(word, ngrams.piece)));
        [found.ngram_pieces, found.ngram_piece_lengths] = hashed(pieces);
      }
    }
    return found;
  }

  /** Returns for each text its label (multi-label: a list) and the probability of each label. */
  async predict(texts) {
    const names = this.signature.labels;
    const { predicted, probabilities, answered } = await this.run(this.inputs(texts));
    const several = predicted.dims.length > 1;
    return texts.map((_, row) => {
      const p = probabilities.data.slice(row * names.length, (row + 1) * names.length);
      const label = answered && !answered.data[row]
        ? this.signature.unsure
        : several
        ? names.filter((_, place) => predicted.data[row * names.length + place])
        : names[Number(predicted.data[row])];
      return { label, probabilities: Object.fromEntries(names.map((name, place) => [name, p[place]])) };
    });
  }

  /** Returns word, tag and probability of each word of sentences, which are texts or lists of words. */
  async tag(sentences) {
    const rows = sentences.map((each) => (typeof each === "string" ? splitWords(each) : each));
    const { lowercase } = this.signature.vocabulary;
    const [words, lengths] = this.padded(
      rows.map((row) => row.map((word) => this.words.get(lowercase ? word.toLowerCase() : word) ?? 1)),
    );
    const inputs = { words, lengths };
    const width = words.dims[1];
    if (this.signature.inputs.some((input) => input.name === "characters")) {
      const spelled = rows.flatMap((row) =>
        Array.from({ length: width }, (_, place) => (place < row.length ? this.spell(row[place]) : [])),
      );
      const [characters, counts] = this.padded(spelled);
      inputs.characters = characters.reshape([rows.length, width, characters.dims[1]]);
      inputs.character_lengths = counts.reshape([rows.length, width]);
    }
    const { predicted, probabilities } = await this.run(inputs);
    const names = this.signature.labels;
    return rows.map((row, number) =>
      row.map((word, place) => {
        const cell = number * width + place;
        const tag = Number(predicted.data[cell]);
        return { word, tag: names[tag], probability: probabilities.data[cell * names.length + tag] };
      }),
    );
  }

  /** Returns the numbers of the characters of a word, between start and end. */
  spell(word) {
    let letters = Array.from(word);
    const most = this.signature.vocabulary.max_characters;
    const half = Math.floor(most / 2);
    if (letters.length > most) letters = [...letters.slice(0, half), ...letters.slice(-half)];
    return [2, ...letters.map((letter) => this.characters.get(letter) ?? 1), 3];
  }

  /** Returns the log-probability of each token after ids, and the state there, to go on from. */
  async nextTokens(ids, state = null) {
    const { states } = this.signature;
    const zeros = ({ input, size }) => [input, new this.ort.Tensor("float32", new Float32Array(size), [1, size])];
    const [tokens, lengths] = this.padded([ids]);
    const found = await this.run({ tokens, lengths, ...(state ?? Object.fromEntries(states.map(zeros))) });
    const size = found.log_probabilities.dims[2];
    const logP = found.log_probabilities.data.slice(-size);
    return [logP, Object.fromEntries(states.map(({ input, output }) => [input, found[output]]))];
  }

  /** Returns the tokens that follow a text, each the most probable one. */
  async generate(text, count = 20) {
    let ids = this.encode(text);
    let state = null;
    let logP;
    const tokens = [];
    while (tokens.length < count) {
      [logP, state] = await this.nextTokens(ids, state);
      logP[this.signature.tokenizer.unknown_id] = -Infinity;
      ids = [logP.indexOf(logP.reduce((most, one) => Math.max(most, one), -Infinity))];
      tokens.push(this.tokenizer.id_to_token(ids[0]));
    }
    return tokens;
  }

  /** Returns the forecasts of a window: rows (T, E), oldest first, and the last known value. */
  async forecast(rows, last) {
    const { Tensor } = this.ort;
    const table = new Tensor("float64", Float64Array.from(rows.flat()), [1, rows.length, rows[0].length]);
    const { forecasts } = await this.run({ rows: table, last: new Tensor("float64", Float64Array.of(last), [1]) });
    return Array.from(forecasts.data);
  }
}

/** Prints the answers to the arguments of the command, one JSON value a line. */
async function main(texts) {
  const { readFile } = await import("node:fs/promises");
  const ort = await import("onnxruntime-web");
  const { Tokenizer } = await import("@huggingface/tokenizers");
  const { blake2b } = await import("@noble/hashes/blake2.js");
  const read = (name) => readFile(new URL(name, import.meta.url));
  const model = await Model.load(read, { ort, Tokenizer, blake2b });
  const { task } = model.signature;
  for (const text of texts) {
    let answer;
    if (task === "classify") [answer] = await model.predict([text]);
    else if (task === "tag") [answer] = await model.tag([text]);
    else if (task === "lm") answer = await model.generate(text);
    else {
      const { rows, last } = JSON.parse(await readFile(text, "utf8"));
      answer = [await model.forecast(rows, last)];
    }
    console.log(JSON.stringify(answer));
  }
}

if (globalThis.process?.argv?.[1]) {
  const { pathToFileURL } = await import("node:url");
  if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(process.argv.slice(2));
}
