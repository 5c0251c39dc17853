//! Prometheus' text exposition format 0.0.4.

use std::fmt::{Display, Write};

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A text in the making.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins the metric `name`; the samples that follow are its own.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.family = name;
        self.written(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One value of the metric that was begun last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.suffixed("", labels, value);
    }

    /// As [`Self::sample`], for a histogram's `_bucket`, `_sum` and `_count`.
    pub fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let family = self.family;
        self.written(format_args!("{family}{suffix}"));
        for (place, (name, text)) in labels.iter().enumerate() {
            let open = if place == 0 { '{' } else { ',' };
            self.written(format_args!("{open}{name}=\""));
            self.escaped(text);
            self.text.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        self.written(format_args!("{close} {value}\n"));
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                c => self.text.push(c),
            }
        }
    }

    fn written(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let written = self.text.write_fmt(text);
        debug_assert!(written.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut out = Exposition::default();
        out.family("x", Kind::Gauge, "Help.");
        out.sample(&[("a", "q\"b\\c\nd"), ("b", "2")], 1.5);
        out.sample(&[], 3);
        assert_eq!(
            out.into_text(),
            "# HELP x Help.\n# TYPE x gauge\nx{a=\"q\\\"b\\\\c\\nd\",b=\"2\"} 1.5\nx 3\n"
        );
    }
}
