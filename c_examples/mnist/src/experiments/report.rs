//! Everything that has been run, as one HTML page that needs no other file.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{ALL, Check, Experiment, Picture, Section, Table};
use crate::lab::Setup;
use crate::output;

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 2rem; line-height: 1.2; }
h2 { margin: 3.5rem 0 .5rem; border-top: 1px solid #ddd; padding-top: 1.5rem; }
p, dl { max-width: 50rem; }
.question { font-size: 1.15rem; font-style: italic; }
figure { margin: 1.5rem 0; }
figure img { max-width: 100%; height: auto; border: 1px solid #eee; }
figcaption { color: #555; font-size: .9rem; max-width: 50rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th { font-weight: 600; text-align: right; vertical-align: bottom; border-bottom: 2px solid #333; }
td { text-align: right; border-bottom: 1px solid #e4e4e4; }
th, td { padding: .25rem .8rem .25rem 0; }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; }
ul.checks { list-style: none; padding: 0; max-width: 60rem; }
ul.checks li { padding: .35rem 0 .35rem 8.5rem; position: relative; border-bottom: 1px solid #eee; }
ul.checks .mark { position: absolute; left: 0; font-size: .8rem; font-weight: 600; padding: .1rem .5rem; border-radius: .25rem; }
.holds { background: #d5efe6; color: #00523b; }
.fails { background: #fbe0d3; color: #8a3500; }
.figure { background: #eee; color: #444; }
.measured { color: #555; }
code { background: #f4f4f4; padding: .1rem .3rem; border-radius: .2rem; }
nav ul { columns: 2; max-width: 40rem; padding-left: 1.2rem; }
";

/// Writes `report.html` from what the folder has, and gives its sections by the names of their experiments.
pub fn write(dir: &Path) -> Result<Vec<(&'static Experiment, Section)>> {
    let mut sections = Vec::new();
    for experiment in &ALL {
        if dir.join(experiment.csv).exists() {
            let section = (experiment.show)(dir).with_context(|| experiment.name)?;
            sections.push((experiment, section));
        }
    }
    ensure!(
        !sections.is_empty(),
        "{}: no experiment has been run yet; `cargo demo all --quick` runs every one in some minutes",
        dir.display()
    );
    let page = page(dir, &sections)?;
    output::write(&dir.join("report.html"), page.into_string().as_bytes())?;
    Ok(sections)
}

/// Copies the pictures to `target`, beside a `README.md` that says the same as the page, for those who read it on the web.
pub fn gallery(
    dir: &Path,
    target: &Path,
    sections: &[(&'static Experiment, Section)],
) -> Result<()> {
    output::prepare(target)?;
    let mut text = format!(
        "# Gallery\n\nThe experiments of three articles, made again with gradstep's kernels. This page and its pictures are made by\n\n\
         ```sh\ncargo demo fetch\ncargo demo all\ncargo demo report --gallery c_examples/mnist/gallery\n```\n\n{}\n",
        summary(sections).replace('\n', "  \n"),
    );
    for (experiment, section) in sections {
        text += &format!("\n## {}\n\n*{}*\n", section.title, section.question);
        for picture in &section.pictures {
            let name = format!("{}.svg", picture.stem);
            let from = dir.join(&name);
            let svg = fs::read(&from).with_context(|| from.display().to_string())?;
            output::write(&target.join(&name), &svg)?;
            text += &format!("\n![{0}]({name})\n\n{0}.\n", picture.caption.trim_end_matches('.'));
        }
        text += &format!(
            "\n**The article.** {}\n\n**Measured.** {}\n",
            section.article, section.measured
        );
        if !section.table.rows.is_empty() {
            text += &format!("\n{}", markdown(&section.table));
        }
        text += "\n| claim | measured | |\n|---|---|---|\n";
        for check in &section.checks {
            let cells = [&check.claim, &check.measured].map(|cell| cell.replace('|', "\\|"));
            text += &format!("| {} | {} | {} |\n", cells[0], cells[1], verdict(check).1);
        }
        let setup = Setup::read(&dir.join(experiment.csv))?;
        let words = setup.map_or_else(String::new, |setup| setup.words());
        text += format!("\n`cargo demo {}` {words}", experiment.name).trim_end();
        text.push('\n');
    }
    output::write(&target.join("README.md"), text.as_bytes())
}

fn markdown(table: &Table) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = "|---|".to_owned() + &"--:|".repeat(table.header.len().saturating_sub(1)) + "\n";
    let rows: String = table.rows.iter().map(|cells| row(cells)).collect();
    row(&table.header) + &rule + &rows
}

/// A class of the style sheet, and a word.
fn verdict(check: &Check) -> (&'static str, &'static str) {
    match check.holds {
        Some(true) => ("holds", "holds"),
        Some(false) => ("fails", "does not hold"),
        None => ("figure", "figure"),
    }
}

/// How many claims hold, and which do not.
pub fn summary(sections: &[(&'static Experiment, Section)]) -> String {
    let claims = || {
        let of = |(experiment, section): &'_ (&'static Experiment, Section)| {
            section.checks.iter().map(|check| (experiment.name, check.clone())).collect::<Vec<_>>()
        };
        sections.iter().flat_map(of).filter(|(_, check)| check.holds.is_some())
    };
    let failed: Vec<_> = claims().filter(|(_, check)| check.holds == Some(false)).collect();
    let mut text =
        format!("{} of {} claims hold", claims().count() - failed.len(), claims().count());
    for (name, check) in failed {
        text += &format!("\n  does not hold: {name}: {}: {}", check.claim, check.measured);
    }
    text
}

fn page(dir: &Path, sections: &[(&'static Experiment, Section)]) -> Result<Markup> {
    let parts: Vec<Markup> = sections
        .iter()
        .map(|(experiment, section)| part(dir, experiment, section))
        .collect::<Result<_>>()?;
    let summary = summary(sections);
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "gradstep: the experiments" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Seven optimizers, measured" }
                p {
                    "The experiments of three articles (Christopher, “Deep Learning Optimizers”; Doshi, “Various Optimization \
                     Algorithms for Training Neural Network”; Mack, “How to pick the best learning rate for your machine \
                     learning project”), made again with gradstep's kernels. Everything here was drawn from the CSV files of \
                     one folder."
                }
                p { @for (index, line) in summary.lines().enumerate() { @if index > 0 { br; } (line) } }
                nav {
                    ul {
                        @for (experiment, section) in sections {
                            li { a href={ "#" (experiment.name) } { (section.title) } }
                        }
                    }
                }
                @for part in parts { (part) }
            }
        }
    })
}

fn part(dir: &Path, experiment: &Experiment, section: &Section) -> Result<Markup> {
    let pictures: Vec<Markup> =
        section.pictures.iter().map(|picture| draw(dir, picture)).collect::<Result<_>>()?;
    let setup = Setup::read(&dir.join(experiment.csv))?;
    Ok(html! {
        section id=(experiment.name) {
            h2 { (section.title) }
            p.question { (section.question) }
            @for picture in pictures { (picture) }
            p { b { "The article. " } (section.article) }
            p { b { "Measured. " } (section.measured) }
            (table(&section.table))
            ul.checks { @for check in &section.checks { (claim(check)) } }
            p { code { "cargo demo " (experiment.name) } @if let Some(setup) = setup { " " (setup.words()) } }
        }
    })
}

/// Inside the page, as an image, so that one drawing's names cannot meet another's.
fn draw(dir: &Path, picture: &Picture) -> Result<Markup> {
    let path = dir.join(format!("{}.svg", picture.stem));
    let svg = fs::read(&path).with_context(|| path.display().to_string())?;
    let source = format!("data:image/svg+xml;base64,{}", BASE64_STANDARD.encode(svg));
    Ok(html! {
        figure {
            img src=(source) alt=(picture.caption);
            figcaption { (picture.caption) }
        }
    })
}

fn table(table: &Table) -> Markup {
    html! {
        @if !table.rows.is_empty() {
            div.scroll {
                table {
                    thead { tr { @for cell in &table.header { th { (cell) } } } }
                    tbody {
                        @for row in &table.rows { tr { @for cell in row { td { (cell) } } } }
                    }
                }
            }
        }
    }
}

fn claim(check: &Check) -> Markup {
    let (class, word) = verdict(check);
    html! {
        li {
            span class={ "mark " (class) } { (word) }
            (check.claim) ": "
            span.measured { (check.measured) }
        }
    }
}
