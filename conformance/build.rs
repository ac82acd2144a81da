//! Tells the program its target, and a microcontroller's linker where the memory is.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = env::var("TARGET").unwrap();
    println!("cargo:rustc-env=TARGET={target}");

    // The machines are QEMU's.
    let memory = match &*target {
        // microbit: the least memory of all.
        "thumbv6m-none-eabi" => cortex_m(("0", "256K"), ("0x20000000", "16K")),
        // mps2-an385, mps2-an386, mps2-an500
        "thumbv7m-none-eabi" | "thumbv7em-none-eabihf" => {
            cortex_m(("0", "4M"), ("0x20000000", "4M"))
        }
        // mps2-an505
        "thumbv8m.main-none-eabihf" => cortex_m(("0x10000000", "4M"), ("0x38000000", "4M")),
        // virt
        "riscv32imac-unknown-none-elf" | "riscv32imafc-unknown-none-elf" => {
            println!("cargo:rustc-link-arg-bins=-Tmemory.x");
            let regions = ["TEXT", "RODATA", "DATA", "BSS", "HEAP", "STACK"];
            let alias = |region| format!("REGION_ALIAS(\"REGION_{region}\", RAM);\n");
            "MEMORY { RAM : ORIGIN = 0x80000000, LENGTH = 4M }\n".to_owned()
                + &regions.map(alias).concat()
        }
        _ => return,
    };
    let out = env::var("OUT_DIR").unwrap();
    fs::write(Path::new(&out).join("memory.x"), memory).unwrap();
    println!("cargo:rustc-link-search={out}");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
}

/// Where memory begins, and its length.
type Region = (&'static str, &'static str);

fn cortex_m((flash, flash_length): Region, (ram, ram_length): Region) -> String {
    format!(
        "MEMORY {{
            FLASH : ORIGIN = {flash}, LENGTH = {flash_length}
            RAM : ORIGIN = {ram}, LENGTH = {ram_length}
        }}"
    )
}
