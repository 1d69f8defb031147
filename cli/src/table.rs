//! Tables that fit: all columns where there is room, fewer where the terminal is narrow, and a list where it is narrower still.

use crate::{
    failure::Failure,
    render::{self, wrap},
};
use comfy_table::{
    presets, Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, TableStyle,
};
use console::measure_text_width;

/// A line below the names of the columns, and no other.
const STYLE: TableStyle = presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─'));

/// Room of a column of words that a table is still read with.
const WORDS: usize = 20;

/// Room that the library takes for each column besides its content.
const PADDING: usize = 3;

/// Characters of an id that is shortened.
const SHORT_ID: usize = 13;

/// Columns below which a table says too little: then it is a list.
const FEWEST: usize = 3;

/// Content of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Names and short texts, never broken.
    Text,
    /// Numbers, never broken, to the right.
    Number,
    /// Sentences and lists, broken between words.
    Words,
    /// Addresses and hashes, whole or shortened in the middle.
    Id,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    kind: Kind,
    is_optional: bool,
}

impl Column {
    /// A column of names or short texts.
    pub fn text(name: &'static str) -> Self {
        Self { name, kind: Kind::Text, is_optional: false }
    }

    /// A column of numbers.
    pub fn number(name: &'static str) -> Self {
        Self { name, kind: Kind::Number, is_optional: false }
    }

    /// A column of sentences or lists.
    pub fn words(name: &'static str) -> Self {
        Self { name, kind: Kind::Words, is_optional: false }
    }

    /// A column of addresses or hashes.
    pub fn id(name: &'static str) -> Self {
        Self { name, kind: Kind::Id, is_optional: false }
    }

    /// The same column, left out where there is no room. The rightmost goes first.
    pub fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }
}

/// A table. The first column names the row.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Prints the table as wide as the terminal is.
    pub fn print(&self) -> Result<(), Failure> {
        render::line(self.layout(render::width()))
    }

    /// The table within `width`, without a limit if that is `None`.
    fn layout(&self, width: Option<usize>) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let Some(width) = width else { return self.draw(&all, false, None) };
        if let Some(fitting) = self.fit(&all, false, width) {
            return fitting;
        }
        let mut shown = all;
        loop {
            if let Some(mut fitting) = self.fit(&shown, true, width) {
                fitting.push_str(&self.left_out(&shown, width));
                return fitting;
            }
            let last =
                shown.iter().rposition(|index| self.columns.get(*index).is_some_and(|c| c.is_optional));
            match last.filter(|_| shown.len() > FEWEST) {
                Some(last) => {
                    shown.remove(last);
                }
                None => return self.list(width),
            }
        }
    }

    /// The table of the columns `shown`, if it can be read within `width`.
    fn fit(&self, shown: &[usize], short: bool, width: usize) -> Option<String> {
        let least = |index: &usize| {
            let natural = self.natural(*index, short);
            let is_words = self.columns.get(*index).is_some_and(|column| column.kind == Kind::Words);
            (if is_words { natural.min(WORDS) } else { natural }).saturating_add(PADDING)
        };
        let needed: usize = shown.iter().map(least).sum();
        (needed <= width).then(|| self.draw(shown, short, Some(width)))
    }

    /// Width of the widest cell of a column.
    fn natural(&self, index: usize, short: bool) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(index));
        let widths = cells.flat_map(|cell| {
            let cell = self.cell(index, cell, short);
            cell.lines().map(measure_text_width).max()
        });
        let name = self.columns.get(index).map_or(0, |column| measure_text_width(column.name));
        widths.max().unwrap_or_default().max(name)
    }

    fn cell(&self, index: usize, cell: &str, short: bool) -> String {
        let is_id = self.columns.get(index).is_some_and(|column| column.kind == Kind::Id);
        if is_id && short {
            render::shortened(cell, SHORT_ID)
        } else {
            cell.to_owned()
        }
    }

    fn draw(&self, shown: &[usize], short: bool, width: Option<usize>) -> String {
        let columns: Vec<Column> =
            shown.iter().filter_map(|index| self.columns.get(*index).copied()).collect();
        let mut table = comfy_table::Table::new();
        // The width is known here, also where the output is no terminal or one that says 0.
        table.force_no_tty().load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        let is_coloured = render::is_coloured();
        if is_coloured {
            table.enforce_styling();
        }
        table.set_header(columns.iter().map(|column| {
            let cell = Cell::new(column.name);
            if is_coloured {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        }));
        for row in &self.rows {
            let cells = shown.iter().filter_map(|index| Some((*index, row.get(*index)?)));
            table.add_row(cells.map(|(index, cell)| self.cell(index, cell, short)));
        }
        for (drawn, column) in table.column_iter_mut().zip(&columns) {
            if column.kind == Kind::Number {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
            if column.kind != Kind::Words {
                drawn.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.trim_fmt()
    }

    /// A line with the names of the columns that are not `shown`.
    fn left_out(&self, shown: &[usize], width: usize) -> String {
        let missing = self.columns.iter().enumerate().filter(|(index, _)| !shown.contains(index));
        let names: Vec<_> = missing.map(|(_, column)| column.name).collect();
        if names.is_empty() {
            return String::new();
        }
        let said = format!("No room for: {}. --json or a wider terminal shows all.", names.join(", "));
        format!("\n{}", wrap(&said, width).join("\n"))
    }

    /// Each row as a block of lines: its first cell, then the name and the content of each other cell that has any.
    fn list(&self, width: usize) -> String {
        let blocks = self.rows.iter().map(|row| {
            let mut cells = self.columns.iter().zip(row);
            let title =
                cells.next().map(|(column, cell)| format!("{} {cell}", column.name)).unwrap_or_default();
            let fields: Vec<_> = cells
                .filter(|(_, cell)| !cell.is_empty())
                .map(|(column, cell)| (column.name, cell.as_str()))
                .collect();
            let title =
                wrap(&title, width).iter().map(|line| render::bold(line)).collect::<Vec<_>>().join("\n");
            let fields = render::aligned(&fields, "  ", Some(width));
            if fields.is_empty() {
                title
            } else {
                format!("{title}\n{fields}")
            }
        });
        blocks.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn models() -> Table {
        let mut table = Table::new(&[
            Column::text("Model"),
            Column::text("Kind"),
            Column::number("Price"),
            Column::number("Context").optional(),
            Column::words("Served by").optional(),
            Column::id("SHA-256").optional(),
        ]);
        let row = |name: &str, kind: &str, served: &str| {
            [name, kind, "0.01 POQ + 0.0001 POQ a unit", "512 tokens", served, HASH].map(str::to_owned)
        };
        table.row(row("poq-demo-evaluator", "evaluator", "operator-2, operator-3, operator-4, operator-5"));
        table.row(row("poq-demo-strong", "generator", "operator-0"));
        table
    }

    /// Text without the blanks and line ends between its words.
    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    #[test]
    fn without_a_limit_all_stands_on_one_line() {
        let text = models().layout(None);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.contains(HASH) && text.contains("operator-2, operator-3, operator-4, operator-5"),
            "{text}"
        );
        // A limit that is not reached changes nothing.
        assert_eq!(words(&models().layout(Some(400))), words(&text));
    }

    #[test]
    fn at_every_width_lines_fit_and_names_and_ids_stay_in_one_piece() {
        for width in [40, 80, 120] {
            let text = models().layout(Some(width));
            for line in text.lines() {
                assert!(measure_text_width(line) <= width, "{width}: {line}\n{text}");
            }
            for name in ["poq-demo-evaluator", "poq-demo-strong", "generator", "evaluator"] {
                assert!(words(&text).contains(&name), "{width}: {name} is broken\n{text}");
            }
            assert!(text.trim_start().starts_with("Model"), "names come first: {text}");
        }
    }

    #[test]
    fn a_narrow_table_says_what_it_leaves_out_and_a_narrower_one_is_a_list_with_all() {
        let table = models().layout(Some(80));
        assert!(table.contains("No room for: ") && table.contains("SHA-256"), "{table}");
        let list = models().layout(Some(40));
        let shortened = render::shortened(HASH, 40 - "  Served by ".len());
        assert!(list.contains("operator-5") && list.contains(&shortened), "{list}");
        assert!(!list.contains("No room"), "{list}");
        assert!(list.contains("Model poq-demo-strong"), "{list}");
    }

    #[test]
    fn an_id_is_shortened_in_the_middle_before_a_column_goes() {
        let mut table =
            Table::new(&[Column::text("Name"), Column::id("Id"), Column::number("Sum").optional()]);
        table.row(["a".into(), HASH.into(), "1 POQ".into()]);
        let text = table.layout(Some(40));
        assert!(text.contains("ba7816…0015ad") && text.contains("1 POQ"), "{text}");
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        let table = Table::new(&[Column::text("Model"), Column::words("Why")]);
        for width in [None, Some(1), Some(80)] {
            assert!(!table.layout(width).contains('…'));
        }
    }

    proptest! {
        #[test]
        fn no_content_breaks_a_limit(
            rows in prop::collection::vec(prop::array::uniform4("[a-z0-9€語 ]{0,60}"), 0..5),
            width in 24usize..200,
        ) {
            let mut table = Table::new(&[
                Column::text("Name"), Column::number("Number").optional(), Column::words("Words"), Column::id("Id").optional(),
            ]);
            for row in rows {
                table.row(row);
            }
            for line in table.layout(Some(width)).lines() {
                prop_assert!(measure_text_width(line) <= width, "{width}: {line}");
            }
        }
    }
}
