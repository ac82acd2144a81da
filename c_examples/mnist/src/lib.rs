//! The MNIST demo of `gradstep`: a small convolutional network in C11 (the folder `c/`) learns to read digits, with
//! gradstep's optimizers behind its C ABI. Rust is around it: command line, files, threads, tables, plots.
//!
//! `cargo demo --help` says what it can do.

#![deny(unsafe_code)] // but for `ffi`

pub mod cli;
pub mod data;
pub mod experiments;
pub mod fetch;
pub mod ffi;
pub mod lab;
pub mod optimizer;
pub mod output;
pub mod plot;
pub mod report;
pub mod run;
pub mod search;
