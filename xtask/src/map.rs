//! A map file of GNU ld: which part of a program takes how much.

use anyhow::{Context, Result, ensure};

/// What has been linked, section by section.
pub(crate) struct Map {
    outputs: Vec<Output>,
}

struct Output {
    name: String,
    size: u64,
    inputs: Vec<Input>,
}

/// A section of an object file.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) file: String,
    size: u64,
}

impl Map {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (_, text) = text.split_once("\nLinker script and memory map\n").context("no map")?;
        let mut outputs: Vec<Output> = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let is_output = line.starts_with('.');
            if !is_output && !line.starts_with(" .") && !line.starts_with(" COMMON") {
                continue;
            }
            // A long name has its line to itself.
            let mut words: Vec<_> = line.split_whitespace().collect();
            if words.len() == 1 {
                words.extend(lines.next().unwrap_or_default().split_whitespace());
            }
            let [name, _, size, rest @ ..] = &*words else { continue };
            let Some(size) = size.strip_prefix("0x") else { continue };
            let size = u64::from_str_radix(size, 16)?;
            let name = name.to_string();
            if is_output {
                outputs.push(Output { name, size, inputs: Vec::new() });
            } else if let Some(output) = outputs.last_mut() {
                output.inputs.push(Input { name, file: rest.join(" "), size });
            }
        }
        ensure!(!outputs.is_empty(), "a map without sections");
        Ok(Self { outputs })
    }

    /// The size of all sections of the program that have one of these names.
    pub(crate) fn size(&self, names: &[&str]) -> u64 {
        self.named(names).map(|output| output.size).sum()
    }

    /// How much of them comes from the inputs that `belongs` chooses.
    pub(crate) fn part(&self, names: &[&str], belongs: impl Fn(&Input) -> bool) -> u64 {
        let inputs = self.named(names).flat_map(|output| &output.inputs);
        inputs.filter(|input| belongs(input)).map(|input| input.size).sum()
    }

    fn named(&self, names: &[&str]) -> impl Iterator<Item = &Output> {
        self.outputs.iter().filter(|output| names.contains(&output.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
Discarded input sections

 .text          0x00000000       0x77 other.o

Linker script and memory map

LOAD main.o

.text           0x00000000       0x40
 *(.vectors)
 .vectors       0x00000000       0x10 main.o
 .text.a_long_name
                0x00000010       0x20 lib.a(member one.o)
                0x00000010                a_long_name
 *fill*         0x00000030        0x4
 .text          0x00000034        0xc main.o

.a_long_output_name
                0x20000000        0x8
 .bss           0x20000000        0x8 main.o

.debug_info     0x00000000      0x100
 .debug_info    0x00000000      0x100 main.o
";

    #[test]
    fn sizes_are_those_of_the_sections_that_were_linked() {
        let map = Map::parse(TEXT).unwrap();
        assert_eq!(map.size(&[".text"]), 0x40);
        assert_eq!(map.size(&[".text", ".a_long_output_name"]), 0x48);
        assert_eq!(map.part(&[".text"], |input| input.file == "main.o"), 0x1c);
        assert_eq!(map.part(&[".text"], |input| input.file == "lib.a(member one.o)"), 0x20);
        assert_eq!(map.part(&[".text"], |input| input.name == ".text.a_long_name"), 0x20);
        assert_eq!(map.part(&[".a_long_output_name"], |_| true), 8);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        assert!(Map::parse("").is_err());
        assert!(Map::parse("\nLinker script and memory map\n").is_err());
    }
}
