//! `application/x-www-form-urlencoded`, strictly: what is not UTF-8 or half an escape is refused.

/// The pairs of a form, in their order. `None`: not a form, or not UTF-8. Lossy decoding would
/// make different passwords the same.
pub fn parse(body: &[u8]) -> Option<Vec<(String, String)>> {
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next()?)?;
            let value = decode(halves.next().unwrap_or_default())?;
            Some((name, value))
        })
        .collect()
}

/// `+` is a blank, `%41` is `A`.
fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(*rest.next()?)? << 4 | hex(*rest.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_half_escapes_refused() {
        type Pairs<'a> = Option<&'a [(&'a str, &'a str)]>;
        let cases: &[(&str, Pairs<'_>)] = &[
            ("", Some(&[])),
            ("a=1&b=2", Some(&[("a", "1"), ("b", "2")])),
            ("a=1=2", Some(&[("a", "1=2")])),
            ("a", Some(&[("a", "")])),
            ("&&a=%C3%A9+x", Some(&[("a", "\u{e9} x")])),
            ("a=%4", None),
            ("a=%zz", None),
            ("a=%+1", None),
            ("a=%ff", None),
        ];
        for (body, expected) in cases {
            let read = parse(body.as_bytes());
            let read: Option<Vec<(&str, &str)>> = read.as_ref().map(|pairs| {
                pairs
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect()
            });
            assert_eq!(read.as_deref(), *expected, "{body}");
        }
    }
}
