// Runs the conformance program compiled for wasm32-unknown-unknown, and lends it an output.
import { readFile } from "node:fs/promises";

const decoder = new TextDecoder();
const print = (text, length) =>
    process.stdout.write(decoder.decode(new Uint8Array(exports.memory.buffer, text, length)));
const module = await readFile(process.argv[2]);
const { exports } = (await WebAssembly.instantiate(module, { console: { print } })).instance;
process.exitCode = exports.main(0, 0);
