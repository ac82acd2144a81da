//! The same program as in `../c`, in Rust: for a microcontroller with cortex-m-rt or riscv-rt, or
//! for the host.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

mod digits;
mod exp_log;
mod model;
mod train;

#[cfg(all(target_os = "none", target_arch = "arm"))]
use cortex_m_rt::entry;
#[cfg(all(target_os = "none", target_arch = "riscv32"))]
use riscv_rt::entry;
#[cfg(target_os = "none")]
use semihosting::{print, println, process::ExitCode};
#[cfg(not(target_os = "none"))]
use std::process::ExitCode;

use train::Memory;

#[cfg(target_os = "none")]
#[entry]
fn start() -> ! {
    main().exit_process()
}

fn main() -> ExitCode {
    let mut memory = Memory::new();
    match train::all(&mut memory, |text| print!("{text}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_the_c_program() {
        let mut output = String::new();
        let mut memory = Memory::new();
        train::all(&mut memory, |text| output += &text.to_string()).unwrap();
        assert_eq!(output, include_str!("../../expected.txt"));
    }
}
