//! An error and what it was caused by, in one line for a log or a terminal.

use std::error::Error;

/// The text of `error` and of its causes, from the outside inwards; none is said twice.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        // Many errors of libraries name their cause in their own text.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the copy failed")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("error returned from database: {0}")]
    struct Middle(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the disk is full")]
    struct Inner;

    #[test]
    fn a_cause_that_its_error_names_is_said_once() {
        let said = "the copy failed: error returned from database: the disk is full";
        assert_eq!(with_causes(&Outer(Middle(Inner))), said);
        assert_eq!(with_causes(&Inner), "the disk is full");
    }
}
