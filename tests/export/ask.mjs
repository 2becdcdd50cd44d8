// Prints the answers of an exported model: node ask.mjs DIRECTORY METHOD ARGUMENTS.json
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";
import { Tokenizer } from "@huggingface/tokenizers";
import { blake2b } from "@noble/hashes/blake2.js";

const [folder, method, file] = process.argv.slice(2);
const { Model } = await import(`${folder}/client.mjs`);
const model = await Model.load((name) => readFile(`${folder}/${name}`), { ort, Tokenizer, blake2b });
const found = await model[method](...JSON.parse(await readFile(file, "utf8")));
console.log(JSON.stringify(found));
