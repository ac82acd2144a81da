// Runs a test program that was compiled for wasm32-unknown-unknown. Such a program cannot print,
// and a test that fails ends it with a trap, whose trace has the test's name.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

Error.stackTraceLimit = Infinity;
const file = process.argv[2];
const { instance } = await WebAssembly.instantiate(await readFile(file), {});
try {
    process.exitCode = instance.exports.main(0, 0);
    console.log("all of its tests passed");
} catch (trap) {
    const crate = basename(file).replace(/-.*/, "");
    const functions = trap.stack.match(/_R\w+/g) ?? [];
    const own = functions.filter((name) => name.includes(crate) && !/4core|3std/.test(name));
    console.error([`a test failed (${trap.message}), in`, ...own].join("\n    "));
    process.exitCode = 1;
}
