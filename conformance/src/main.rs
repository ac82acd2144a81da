//! Prints the hashes of every backend, and fails unless they are as expected: on a computer, in
//! WebAssembly, and on a microcontroller, through its debugger or emulator.

#![cfg_attr(target_os = "none", no_std, no_main)]

/// Whether all is as expected.
fn conforms() -> bool {
    gradstep_conformance::report(env!("TARGET"), &mut Console) == Ok(true)
}

/// Where the text goes.
struct Console;

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    (!conforms() as u8).into()
}

#[cfg(not(any(target_os = "none", all(target_family = "wasm", target_os = "unknown"))))]
impl core::fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        print!("{text}");
        Ok(())
    }
}

/// WebAssembly by itself has no output: the program that runs the module lends it some.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod wasm {
    use core::fmt;

    #[link(wasm_import_module = "console")]
    unsafe extern "C" {
        fn print(text: *const u8, len: usize);
    }

    impl fmt::Write for super::Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // SAFETY: the text is there as long as the call takes.
            unsafe { print(text.as_ptr(), text.len()) };
            Ok(())
        }
    }
}

#[cfg(target_os = "none")]
mod bare_metal {
    use core::fmt;

    use semihosting::{print, process};

    #[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
    #[cfg_attr(not(target_arch = "arm"), riscv_rt::entry)]
    fn main() -> ! {
        process::exit(!super::conforms() as i32)
    }

    impl fmt::Write for super::Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            print!("{text}");
            Ok(())
        }
    }
}
