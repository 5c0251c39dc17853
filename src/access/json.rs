//! Text as a JSON string, whatever bytes a client sent.

/// Appends `text` in quotes, cut to `most` bytes: what JSON does not carry is escaped or replaced,
/// so that no value can end its own string or start a line of its own.
pub(super) fn string(out: &mut Vec<u8>, text: &[u8], most: usize) {
    out.push(b'"');
    let (text, cut) = match text.get(..most) {
        Some(start) => (start, text.len() > most),
        None => (text, false),
    };
    // Nearly everything is plain, and copied in one go.
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        escaped(out, text);
    }
    if cut {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            escape(out, byte);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Whether every byte of `text` stands for itself: eight are looked at together, and at the end
/// those that stand last, some of them for the second time.
fn is_plain(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk() {
        let (chunks, _rest) = text.as_chunks();
        return chunks.iter().all(|chunk| are_plain(*chunk)) && are_plain(*last);
    }
    match (text.first_chunk(), text.last_chunk()) {
        (Some([a, b, c, d]), Some([e, f, g, h])) => are_plain([*a, *b, *c, *d, *e, *f, *g, *h]),
        (_, _) => text.iter().all(|byte| are_plain([*byte; 8])),
    }
}

/// Whether these are all printable ASCII, and neither quote nor backslash. What is not sets the
/// highest bit of its byte; it may do so to the byte after it too, which changes nothing.
fn are_plain(bytes: [u8; 8]) -> bool {
    let all = |byte| u64::from_ne_bytes([byte; 8]);
    let below = |word: u64, least| word.wrapping_sub(all(least)) & !word;
    let word = u64::from_le_bytes(bytes);
    let above_tilde = word | word.wrapping_add(all(1));
    // The quote takes the place of the blank, next to the control characters.
    let control_or_quote = below(word ^ all(b' ' ^ b'"'), b' ' + 1);
    let backslash = below(word ^ all(b'\\'), 1);
    (above_tilde | control_or_quote | backslash) & all(0x80) == 0
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0..=0x1f | 0x7f => {
            out.extend_from_slice(b"\\u00");
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 0x0f));
        }
        byte => out.push(byte),
    }
}

fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        10..=u8::MAX => b'a' + (nibble - 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_as_the_same_text() {
        for text in ["", "plain", "a\"b\\c", "line\nbreak\r\t\0\u{7f}", "naïve ✓"] {
            let mut out = Vec::new();
            string(&mut out, text.as_bytes(), 100);
            assert!(!out.contains(&b'\n'));
            let back: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(back, text);
        }
    }

    #[test]
    fn what_needs_an_escape_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let plain = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
            for length in 1..20 {
                for place in 0..length {
                    for fill in [b' ', b'~', b'#', b']'] {
                        let mut text = vec![fill; length];
                        text[place] = byte;
                        assert_eq!(is_plain(&text), plain, "{byte} at {place} of {length}");
                    }
                }
            }
        }
        assert!(is_plain(b""));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut out = Vec::new();
        string(&mut out, b"a\xff\xfeb", 100);
        let back: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(back, "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn a_long_text_is_cut_even_within_a_character() {
        let mut out = Vec::new();
        string(&mut out, "abcé".as_bytes(), 4);
        let back: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(back, "abc\u{fffd}…");
    }
}
