//! What is printed: tables with a verdict on each line that has something to keep to.

/// One table, as Markdown.
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
    failed: bool,
}

/// What a figure has to keep to.
pub struct Gate {
    is: f64,
    most: f64,
    name: &'static str,
}

impl Gate {
    pub fn at_most(name: &'static str, is: f64, most: f64) -> Self {
        Self { is, most, name }
    }

    fn kept(&self) -> bool {
        self.is <= self.most
    }
}

impl Table {
    pub fn new(headers: &[&str]) -> Self {
        let headers = headers.iter().chain(&["gate"]).map(|header| (*header).to_owned()).collect();
        Self { headers, rows: Vec::new(), failed: false }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N], gates: &[Gate]) {
        let verdicts: Vec<_> = gates
            .iter()
            .map(|gate| {
                let verdict = if gate.kept() { "ok" } else { "FAILED" };
                format!("{} <= {}: {verdict}", gate.name, gate.most)
            })
            .collect();
        self.failed |= !gates.iter().all(Gate::kept);
        self.rows.push(cells.into_iter().chain([verdicts.join(", ")]).collect());
    }

    /// Prints it; whether all gates were kept.
    pub fn print(self) -> bool {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.headers]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.headers.len()).map(width).collect();
        let is_text = |column: usize| column == 0 || column + 1 == widths.len();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
        };
        line(&self.headers);
        let rules = widths.iter().enumerate().map(|(column, width)| {
            let rule = "-".repeat(width.saturating_sub(1));
            if is_text(column) { format!("-{rule}") } else { format!("{rule}:") }
        });
        line(&rules.collect());
        self.rows.iter().for_each(line);
        println!();
        !self.failed
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

/// A ratio, if there is something to compare with.
pub fn ratio(of: Option<f64>) -> String {
    of.map_or(String::new(), |ratio| format!("{ratio:.2}"))
}
