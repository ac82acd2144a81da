//! Where a microcontroller's memories are, for the linker scripts of cortex-m-rt and riscv-rt.

use std::env;
use std::fs;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=../board");
    let board = match &*env::var("TARGET").unwrap() {
        "thumbv6m-none-eabi" => "cortex-m0",
        "thumbv7m-none-eabi" => "cortex-m3",
        "thumbv7em-none-eabihf" => "cortex-m4f",
        "thumbv8m.main-none-eabihf" => "cortex-m33",
        "riscv32imac-unknown-none-elf" => "rv32imac",
        "riscv32imafc-unknown-none-elf" => "rv32imafc",
        _ => return, // the host
    };
    // The C program's, without its sections.
    let script = fs::read_to_string(format!("../board/{board}.ld")).unwrap();
    let mut script = script.replace("INCLUDE sections.ld", "");
    if board.starts_with("rv32") {
        for (part, memory) in [
            ("TEXT", "FLASH"),
            ("RODATA", "FLASH"),
            ("DATA", "RAM"),
            ("BSS", "RAM"),
            ("HEAP", "RAM"),
            ("STACK", "RAM"),
        ] {
            script += &format!("REGION_ALIAS(\"REGION_{part}\", {memory});\n");
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    fs::write(out.join("memory.x"), script).unwrap();
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
}
