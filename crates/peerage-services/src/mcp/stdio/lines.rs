//! Lines of bounded length from a byte stream.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What stood between two line breaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line without its break.
    Text(Bytes),
    /// A line longer than the limit: its first bytes. The rest was thrown away.
    TooLong(Bytes),
}

/// Reads one line of at most `limit` bytes; `None` at the end of the stream.
///
/// The last line may lack its break. Not cancel-safe: a line that was begun is lost with the future.
pub(super) async fn next_line<R: AsyncBufRead + Unpin>(
    from: &mut R,
    limit: usize,
) -> std::io::Result<Option<Line>> {
    let mut line = BytesMut::new();
    let mut too_long = false;
    loop {
        let chunk = from.fill_buf().await?;
        if chunk.is_empty() {
            return Ok((!line.is_empty()).then(|| finish(line, too_long)));
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        let room = limit.saturating_sub(line.len());
        too_long |= part.len() > room;
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(chunk.len(), |at| at + 1);
        from.consume(used);
        if end.is_some() {
            return Ok(Some(finish(line, too_long)));
        }
    }
}

fn finish(line: BytesMut, too_long: bool) -> Line {
    if too_long {
        return Line::TooLong(line.freeze());
    }
    let mut line = line.freeze();
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    Line::Text(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &str, limit: usize) -> Vec<Line> {
        let mut from = tokio::io::BufReader::with_capacity(3, input.as_bytes());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut from, limit).await.unwrap() {
            lines.push(line);
        }
        lines
    }

    fn text(s: &'static str) -> Line {
        Line::Text(Bytes::from_static(s.as_bytes()))
    }

    #[tokio::test]
    async fn splits_and_keeps_a_last_line_without_a_break() {
        assert_eq!(
            all("one\r\n\ntwo words\nlast", 100).await,
            [text("one"), text(""), text("two words"), text("last")]
        );
        assert!(all("", 10).await.is_empty());
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_told_and_the_next_one_read() {
        assert_eq!(
            all("12345\n123456\nafter\n", 5).await,
            [
                text("12345"),
                Line::TooLong(Bytes::from_static(b"12345")),
                text("after")
            ]
        );
    }
}
