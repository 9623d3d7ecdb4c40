//! Prints tables of figures, and at the end their limits.

/// One table, as Markdown.
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

/// The figures that count, each the worst of those that were measured under its name.
#[derive(Default)]
pub struct Gates(Vec<Gate>);

struct Gate {
    what: String,
    beside: &'static str,
    is: f64,
    /// None for times, which are told only.
    most: Option<f64>,
}

impl Gates {
    /// Keeps a figure, which must not be more than `most`.
    pub fn at_most(&mut self, what: &str, beside: &'static str, is: f64, most: f64) {
        self.keep(what, beside, is, Some(most));
    }

    /// Keeps a figure for the eye.
    pub fn tell(&mut self, what: &str, beside: &'static str, is: f64) {
        self.keep(what, beside, is, None);
    }

    fn keep(&mut self, what: &str, beside: &'static str, is: f64, most: Option<f64>) {
        match self.0.iter_mut().find(|gate| gate.what == what) {
            Some(gate) => gate.is = gate.is.max(is),
            None => self.0.push(Gate { what: what.to_owned(), beside, is, most }),
        }
    }

    /// Prints them all; whether each is what it has to be.
    pub fn print(self) -> bool {
        println!("All in all: ratios, the worst of each kind, and counts where there is nothing beside.\n");
        let mut table = Table::new(&["what", "beside", "is", "at most", "kept"]);
        let mut all_kept = true;
        for Gate { what, beside, is, most } in self.0 {
            let figure = |figure: f64| match beside {
                "" => grouped(figure),
                _ => format!("{figure:.2}"),
            };
            // A figure that cannot be had keeps to nothing.
            let kept = most.is_none_or(|most| is <= most);
            all_kept &= kept;
            let verdict = match (most, kept) {
                (None, _) => "",
                (_, true) => "yes",
                (_, false) => "NO",
            };
            let most = most.map_or(String::new(), figure);
            table.row([what, beside.to_owned(), figure(is), most, verdict.to_owned()]);
        }
        table.print();
        all_kept
    }
}

/// A figure with its thousands apart.
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
