//! Writes whole lines: what a full disk cut off stands apart from the line that comes next.

use std::io::{self, Write};

/// What is written with it, in turn, goes to one place.
#[derive(Debug, Default)]
pub(super) struct Pen {
    /// The last line there has no end.
    torn: bool,
}

/// How many lines are not there, or not whole, and why.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub lines: u64,
    pub error: io::Error,
}

impl Pen {
    /// Writes `lines`, each with its newline.
    ///
    /// # Errors
    /// Some could not be written: the first ones may be there.
    pub(super) fn write(&mut self, out: &mut impl Write, lines: &[u8]) -> Result<(), Unwritten> {
        let mut rest = lines;
        self.write_on(out, &mut rest).map_err(|error| {
            let written = lines.len() - rest.len();
            if let Some(last) = lines.get(..written).and_then(<[u8]>::last) {
                self.torn = *last != b'\n';
            }
            let lines = rest.iter().filter(|&&byte| byte == b'\n').count() as u64;
            Unwritten { lines, error }
        })
    }

    /// What was torn is in a place that is written to no more.
    pub(super) fn begin_anew(&mut self) {
        self.torn = false;
    }

    fn write_on(&mut self, out: &mut impl Write, rest: &mut &[u8]) -> io::Result<()> {
        if self.torn {
            out.write_all(b"\n")?;
            self.torn = false;
        }
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => *rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes.
    struct Disk {
        room: usize,
        held: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.held.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_is_torn_stands_apart_from_the_next() {
        for (room, lost, held) in [
            (0, 3, "four\n"),
            (4, 2, "one\nfour\n"),
            (6, 2, "one\ntw\nfour\n"),
            (7, 2, "one\ntwo\nfour\n"),
            (8, 1, "one\ntwo\nfour\n"),
        ] {
            let mut pen = Pen::default();
            let mut disk = Disk {
                room,
                held: Vec::new(),
            };
            let unwritten = pen.write(&mut disk, b"one\ntwo\nthree\n").unwrap_err();
            assert_eq!(unwritten.lines, lost, "room for {room}");
            assert_eq!(pen.write(&mut disk, b"lost\n").unwrap_err().lines, 1);
            disk.room = 100;
            pen.write(&mut disk, b"four\n").unwrap();
            assert_eq!(
                String::from_utf8(disk.held).unwrap(),
                held,
                "room for {room}"
            );
        }
    }

    #[test]
    fn another_file_begins_with_a_line() {
        let mut pen = Pen::default();
        let mut disk = Disk {
            room: 2,
            held: Vec::new(),
        };
        pen.write(&mut disk, b"one\n").unwrap_err();
        pen.begin_anew();
        let mut other = Vec::new();
        pen.write(&mut other, b"two\n").unwrap();
        assert_eq!(other, b"two\n");
    }
}
