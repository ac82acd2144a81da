//! What the emulated machine starts with, and nothing else: it runs the programs one after the other,
//! says how each ended, and switches the machine off.
//!
//! Compiled by itself, see `emulated.rs`; each line of the file `programs` is one with its arguments.

use std::fs;
use std::process::Command;

unsafe extern "C" {
    fn tcdrain(file: i32) -> i32;
    fn reboot(how: i32) -> i32;
}

fn main() {
    println!("begun");
    for line in fs::read_to_string("/programs").unwrap().lines() {
        let mut words = line.split(' ');
        let status = Command::new(words.next().unwrap()).args(words).status();
        match status {
            Ok(status) => println!("ended: {status}"),
            Err(error) => println!("ended: {error}"),
        }
    }
    const STDOUT: i32 = 1;
    const POWER_OFF: i32 = 0x4321_fedc;
    // SAFETY: only numbers go in. What the serial line has not sent would be lost.
    unsafe {
        tcdrain(STDOUT);
        reboot(POWER_OFF);
    }
}
