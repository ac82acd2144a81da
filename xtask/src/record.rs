//! Figures that are recorded in a committed file, and may not grow.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::root;

/// A file of figures: for each row of a group, one per column.
pub(crate) struct Record {
    pub(crate) path: &'static str,
    /// What the file says of itself, in lines that begin with `#`.
    pub(crate) top: &'static str,
    /// The width of a row's two names.
    pub(crate) names: [usize; 2],
    pub(crate) columns: &'static [Column],
}

pub(crate) struct Column {
    pub(crate) what: &'static str,
    pub(crate) width: usize,
    /// By how much a figure may exceed a recorded one, if it cannot be told as precisely.
    pub(crate) slack: fn(u64) -> u64,
}

/// A column whose figures are exact.
pub(crate) const fn exact(what: &'static str, width: usize) -> Column {
    Column { what, width, slack: |_| 0 }
}

/// Two names, and the figures of all columns.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) figures: Vec<u64>,
}

impl Record {
    /// What is committed: the compilers that it is of, and the rows.
    pub(crate) fn read(&self) -> Result<(String, Vec<Row>)> {
        let text = fs::read_to_string(root().join(self.path)).context(self.path)?;
        let mut comments = text.lines().filter_map(|line| line.strip_prefix("# "));
        let compilers =
            comments.next_back().with_context(|| format!("{} has no top", self.path))?;
        let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let mut words = line.split_whitespace();
            let mut name = || words.next().map(str::to_owned).context("a row without names");
            let (group, name) = (name()?, name()?);
            let figures: Vec<_> = words.map(str::parse).collect::<Result<_, _>>()?;
            ensure!(figures.len() == self.columns.len(), "not a row of {}: {line}", self.path);
            Ok(Row { group, name, figures })
        });
        Ok((compilers.to_owned(), rows.collect::<Result<_>>()?))
    }

    /// Commits to these.
    pub(crate) fn write(&self, compilers: &str, rows: &[Row]) -> Result<()> {
        let mut text = format!("{}# {compilers}\n", self.top);
        let [first, second] = self.names;
        for Row { group, name, figures } in rows {
            write!(text, "{group:<first$} {name:<second$}")?;
            for (figure, Column { width, .. }) in figures.iter().zip(self.columns) {
                write!(text, " {figure:>width$}")?;
            }
            text.push('\n');
        }
        fs::write(root().join(self.path), text).context(self.path)?;
        println!("wrote {}", self.path);
        Ok(())
    }

    /// Fails if a figure of the group has grown, by more than so many per cent and the column's slack;
    /// if one is not recorded; and if a recorded row is not among them.
    pub(crate) fn compare(
        &self,
        recorded: &[Row],
        group: &str,
        rows: &[Row],
        percent: u64,
    ) -> Result<()> {
        let recorded: Vec<_> = recorded.iter().filter(|row| row.group == group).collect();
        let mut grown = Vec::new();
        for Row { name, figures, .. } in rows {
            let Some(budget) = recorded.iter().find(|row| row.name == *name) else {
                bail!("{group} {name} is not in {}", self.path)
            };
            for ((&found, &budget), column) in figures.iter().zip(&budget.figures).zip(self.columns)
            {
                let Column { what, slack, .. } = column;
                let slack = slack(budget) + budget * percent / 100;
                if found > budget + slack {
                    grown.push(format!("{name}: {what} {found}, recorded {budget}"));
                } else if found + slack < budget {
                    println!("{name}: {what} only {found} now, recorded {budget}");
                }
            }
        }
        let found: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
        if let Some(gone) = recorded.iter().find(|row| !found.contains(&row.name)) {
            bail!("{group} {} is in {}, and was not measured", gone.name, self.path);
        }
        ensure!(grown.is_empty(), "{group}: {}", grown.join("; "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record = Record {
        path: "none",
        top: "",
        names: [1, 1],
        columns: &[exact("bytes", 1), Column { what: "ticks", width: 1, slack: |n| n / 10 }],
    };

    fn row(group: &str, name: &str, figures: [u64; 2]) -> Row {
        Row { group: group.to_owned(), name: name.to_owned(), figures: figures.to_vec() }
    }

    #[test]
    fn what_grows_or_is_gone_is_refused() {
        let recorded = [row("m", "a", [100, 100]), row("m", "b", [7, 7]), row("n", "a", [1, 1])];
        let compare = |figures, percent| {
            let rows = [row("m", "a", figures), row("m", "b", [7, 7])];
            RECORD.compare(&recorded, "m", &rows, percent)
        };
        for accepted in [[100, 100], [100, 110], [90, 20]] {
            assert!(compare(accepted, 0).is_ok(), "{accepted:?}");
        }
        for grown in [[101, 100], [100, 111]] {
            assert!(compare(grown, 0).is_err(), "{grown:?}");
        }
        assert!(compare([105, 115], 5).is_ok());
        assert!(compare([106, 100], 5).is_err());
        let a = || row("m", "a", [100, 100]);
        assert!(RECORD.compare(&recorded, "m", &[a()], 0).is_err());
        let unknown = [a(), row("m", "b", [7, 7]), row("m", "c", [1, 1])];
        assert!(RECORD.compare(&recorded, "m", &unknown, 0).is_err());
        assert!(RECORD.compare(&recorded, "other", &[a()], 0).is_err());
    }
}
