//! Follows the frames of a WebSocket as far as their boundaries: a frame of ours fits only there.

use crate::secret;

const CLOSE: u8 = 0x8;
const MASK: u64 = 4;

/// Where one direction stands between its frames (RFC 6455 §5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frames {
    place: Place,
    opcode: u8,
    closed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    /// The byte of the mask bit and the short length comes next.
    Length,
    /// So many bytes of a longer length are still to come.
    LongLength { bytes: u8, so_far: u64, mask: u64 },
    /// So many bytes of mask and payload are still to come; never none.
    Content(u64),
}

impl Frames {
    /// Whether a frame may begin here.
    pub(super) fn at_boundary(&self) -> bool {
        self.place == Place::Between
    }

    /// Whether a Close frame has passed: nothing may follow it (RFC 6455 §5.5.1).
    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    /// Follows all of `bytes`.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let passed = self.pass_frame(bytes);
            bytes = bytes.get(passed..).unwrap_or_default();
        }
    }

    /// How many of `bytes` belong to the frame that is under way or begins here.
    pub(super) fn rest_of_frame(&self, bytes: &[u8]) -> usize {
        self.clone().pass_frame(bytes)
    }

    /// Follows `bytes` to the end of one frame at most; how many that were.
    fn pass_frame(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..)
            && let Some(&byte) = rest.first()
        {
            match self.place {
                Place::Between => {
                    self.opcode = byte & 0x0f;
                    self.place = Place::Length;
                    passed += 1;
                }
                Place::Length => {
                    passed += 1;
                    let mask = if byte & 0x80 == 0 { 0 } else { MASK };
                    let long = |bytes| Place::LongLength {
                        bytes,
                        so_far: 0,
                        mask,
                    };
                    match byte & 0x7f {
                        126 => self.place = long(2),
                        127 => self.place = long(8),
                        short => self.content(u64::from(short) + mask),
                    }
                }
                Place::LongLength {
                    bytes,
                    so_far,
                    mask,
                } => {
                    passed += 1;
                    let so_far = so_far << 8 | u64::from(byte);
                    match bytes.saturating_sub(1) {
                        0 => self.content(so_far.saturating_add(mask)),
                        bytes => {
                            self.place = Place::LongLength {
                                bytes,
                                so_far,
                                mask,
                            }
                        }
                    }
                }
                Place::Content(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    passed += here;
                    self.content(left - here as u64);
                }
            }
            if self.at_boundary() {
                return passed;
            }
        }
        passed
    }

    fn content(&mut self, left: u64) {
        if left > 0 {
            self.place = Place::Content(left);
            return;
        }
        self.place = Place::Between;
        self.closed |= self.opcode == CLOSE;
    }
}

/// A Close frame from a server to a client: not masked (RFC 6455 §5.1).
pub(super) fn close_for_client(code: u16, reason: &str) -> Vec<u8> {
    let payload = payload(code, reason);
    let mut frame = head(&payload, 0);
    frame.extend(payload);
    frame
}

/// A Close frame from a client to a server: masked.
pub(super) fn close_for_server(code: u16, reason: &str) -> Vec<u8> {
    let payload = payload(code, reason);
    let mask = secret::random::<4>();
    let mut frame = head(&payload, 0x80);
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

fn head(payload: &[u8], mask: u8) -> Vec<u8> {
    // A control frame's payload has a short length (RFC 6455 §5.5): `payload` sees to it.
    let length = u8::try_from(payload.len()).unwrap_or(0);
    vec![0x80 | CLOSE, mask | length]
}

fn payload(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend(reason.bytes().take(123));
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with this first byte, masked or not, and a payload of this length.
    fn frame(first: u8, masked: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(masked | u8::try_from(length).unwrap()),
            126..65_536 => {
                bytes.push(masked | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(masked | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if masked != 0 {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.extend(vec![0x88; length]);
        bytes
    }

    #[test]
    fn frames_of_every_length_end_where_they_end() {
        for masked in [0, 0x80] {
            for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
                let bytes = frame(0x82, masked, length);
                let mut frames = Frames::default();
                assert_eq!(frames.rest_of_frame(&bytes), bytes.len());
                for (at, byte) in bytes.iter().enumerate() {
                    assert_eq!(frames.at_boundary(), at == 0, "{masked} {length} {at}");
                    frames.pass(&[*byte]);
                }
                assert!(frames.at_boundary() && !frames.closed());
                let mut whole = Frames::default();
                whole.pass(&bytes);
                assert_eq!(whole.place, frames.place);
            }
        }
    }

    #[test]
    fn the_rest_of_a_frame_is_told_from_the_next_one() {
        let mut bytes = frame(0x81, 0, 10);
        let first = bytes.len();
        bytes.extend(frame(0x81, 0x80, 3));
        let mut frames = Frames::default();
        assert_eq!(frames.rest_of_frame(&bytes), first);
        frames.pass(&bytes[..5]);
        assert_eq!(frames.rest_of_frame(&bytes[5..]), first - 5);
        frames.pass(&bytes[5..]);
        assert!(frames.at_boundary());
    }

    #[test]
    fn a_close_frame_is_seen_when_it_has_passed() {
        let mut frames = Frames::default();
        frames.pass(&frame(0x88, 0x80, 2)[..7]);
        assert!(!frames.closed());
        frames.pass(&[0]);
        assert!(frames.closed());
    }

    #[test]
    fn our_own_frames_are_frames() {
        assert_eq!(close_for_client(1008, "x"), [0x88, 3, 0x03, 0xf0, b'x']);
        for bytes in [
            close_for_client(1008, "session ended"),
            close_for_server(1008, &"long".repeat(100)),
        ] {
            let mut frames = Frames::default();
            assert_eq!(frames.rest_of_frame(&bytes), bytes.len());
            frames.pass(&bytes);
            assert!(frames.closed() && frames.at_boundary());
        }
    }
}
