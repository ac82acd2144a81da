//! What a linker would take from a static library for one function of it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::read::archive::ArchiveFile;
use object::{
    File, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SectionKind,
};

/// Parts of the names of what a step has no use for: panics, formatting, memory from the heap.
pub(crate) const UNWANTED: [&str; 6] =
    ["9panicking", "4core3fmt", "rust_begin_unwind", "__rust_alloc", "5alloc", "malloc"];

/// And of what copies structs.
pub(crate) const COPIES: [&str; 2] = ["memcpy", "memmove"];

/// Fails if a program has a function whose name contains one of these parts.
pub(crate) fn ensure_without<'a>(
    program: &Path,
    unwanted: impl IntoIterator<Item = &'a str> + Clone,
) -> Result<()> {
    let shown = program.display();
    let bytes = fs::read(program).with_context(|| shown.to_string())?;
    let file = File::parse(&*bytes)?;
    ensure!(file.symbol_by_name("main").is_some(), "{shown}: no symbols to look at");
    for name in file.symbols().filter_map(|symbol| symbol.name().ok()) {
        let found = unwanted.clone().into_iter().any(|part| name.contains(part));
        ensure!(!found, "{shown} has {name}");
    }
    Ok(())
}

/// A static library's objects.
pub(crate) struct Library<'a> {
    objects: Vec<File<'a>>,
    /// Where each global symbol is defined: the object, and its section.
    definitions: HashMap<&'a str, Place>,
}

/// An object's number, and a section of it.
type Place = (usize, SectionIndex);

/// What one function brings along.
#[derive(Default)]
pub(crate) struct Linked<'a> {
    /// The machine code.
    pub(crate) code: Vec<&'a [u8]>,
    /// All functions and variables, those included that the library leaves to others.
    pub(crate) names: BTreeSet<&'a str>,
}

impl Linked<'_> {
    /// Bytes of machine code.
    pub(crate) fn code_size(&self) -> usize {
        self.code.iter().map(|code| code.len()).sum()
    }

    /// A name that has this in it.
    pub(crate) fn find(&self, part: &str) -> Option<&str> {
        self.names.iter().copied().find(|name| name.contains(part))
    }
}

impl<'a> Library<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut objects = Vec::new();
        for member in ArchiveFile::parse(bytes)?.members() {
            objects.push(File::parse(member?.data(bytes)?)?);
        }
        let mut library = Library { objects, definitions: HashMap::new() };
        for (number, object) in library.objects.iter().enumerate() {
            for symbol in object.symbols().filter(|symbol| symbol.is_global()) {
                if let (Some(section), Ok(name)) = (symbol.section_index(), symbol.name()) {
                    library.definitions.entry(name).or_insert((number, section));
                }
            }
        }
        Ok(library)
    }

    /// The names that the library defines.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.definitions.keys().copied()
    }

    /// Follows every reference from a function, section by section, as `--gc-sections` does.
    pub(crate) fn link(&self, function: &str) -> Result<Linked<'a>> {
        let start = *self.definitions.get(function).with_context(|| format!("no {function}"))?;
        let mut linked = Linked::default();
        let mut seen = HashSet::new();
        let mut waiting = vec![start];
        while let Some(place) = waiting.pop() {
            if seen.insert(place) {
                self.visit(place, &mut linked, &mut waiting)?;
            }
        }
        Ok(linked)
    }

    fn visit(
        &self,
        (number, index): Place,
        linked: &mut Linked<'a>,
        waiting: &mut Vec<Place>,
    ) -> Result<()> {
        let object = &self.objects[number];
        let section = object.section_by_index(index)?;
        if section.kind() == SectionKind::Text {
            linked.code.push(section.data()?);
        }
        for symbol in object.symbols().filter(|symbol| symbol.section_index() == Some(index)) {
            linked.names.insert(symbol.name()?);
        }
        for (_, relocation) in section.relocations() {
            match relocation.target() {
                RelocationTarget::Section(section) => waiting.push((number, section)),
                RelocationTarget::Symbol(symbol) => {
                    let symbol = object.symbol_by_index(symbol)?;
                    let name = symbol.name()?;
                    let defined = symbol.section_index().map(|section| (number, section));
                    match defined.or_else(|| self.definitions.get(name).copied()) {
                        Some(place) => waiting.push(place),
                        None => _ = linked.names.insert(name),
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
