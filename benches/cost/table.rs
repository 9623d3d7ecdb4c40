//! Prints tables of measurements, and at the end a summary with their limits.

/// A table, printed as Markdown.
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(headers: &[&str]) -> Self {
        Self { headers: headers.iter().map(|header| (*header).to_owned()).collect(), rows: Vec::new() }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    pub fn print(self) {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.headers]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.headers.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
        };
        line(&self.headers);
        let rules = widths.iter().enumerate().map(|(column, width)| match column {
            0 => "-".repeat(*width),
            _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
        });
        line(&rules.collect());
        self.rows.iter().for_each(line);
        println!();
    }
}

/// The summary: for each row label the worst of its measurements. `benches/README.md` has the same labels.
#[derive(Default)]
pub struct Gates(Vec<Gate>);

struct Gate {
    what: String,
    compared_with: &'static str,
    result: f64,
    /// `None` for times, which have no limit.
    most: Option<f64>,
}

impl Gates {
    /// Adds a measurement that must not exceed `most`.
    pub fn at_most(&mut self, what: &str, compared_with: &'static str, result: f64, most: f64) {
        self.keep(what, compared_with, result, Some(most));
    }

    /// Adds a measurement without a limit.
    pub fn report(&mut self, what: &str, compared_with: &'static str, result: f64) {
        self.keep(what, compared_with, result, None);
    }

    fn keep(&mut self, what: &str, compared_with: &'static str, result: f64, most: Option<f64>) {
        match self.0.iter_mut().find(|gate| gate.what == what) {
            Some(gate) => gate.result = gate.result.max(result),
            None => self.0.push(Gate { what: what.to_owned(), compared_with, result, most }),
        }
    }

    /// Prints the summary. Returns whether every measurement is within its limit.
    pub fn print(self) -> bool {
        println!(
            "Summary: the worst measurement for each row, as a ratio, or as a count if nothing is compared.\n"
        );
        let mut table = Table::new(&["what", "compared with", "result", "at most", "within"]);
        let mut all_within = true;
        for Gate { what, compared_with, result, most } in self.0 {
            let figure = |figure: f64| match compared_with {
                "" => grouped(figure),
                _ => format!("{figure:.2}"),
            };
            // NaN is never within its limit.
            let within = most.is_none_or(|most| result <= most);
            all_within &= within;
            let verdict = match (most, within) {
                (None, _) => "",
                (_, true) => "yes",
                (_, false) => "NO",
            };
            let most = most.map_or(String::new(), figure);
            table.row([what, compared_with.to_owned(), figure(result), most, verdict.to_owned()]);
        }
        table.print();
        all_within
    }
}

/// Formats a number with thousands separators.
pub fn grouped(figure: f64) -> String {
    let digits = format!("{:.0}", figure.abs());
    let mut grouped = String::from(if figure <= -0.5 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

pub fn ratio(figure: f64) -> String {
    format!("{figure:.2}")
}
