//! A build's failure as BuildKit's clients show it: with the lines of the Dockerfile that it is about.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::google::protobuf::Any;
use bollard_buildkit_proto::google::rpc::Status as Details;
use prost::Message as _;
use tonic::{Code, Status};

use super::wire::{Position, Range, Source, SourceInfo};
use crate::embedded::build::{Failure, place};
use crate::embedded::error::Error;

/// What clients know the place of an error by.
const SOURCE: &str = "github.com/moby/buildkit/errdefs.Source+json";
/// A Dockerfile that is larger is not sent along: headers have bounds.
const LARGEST: usize = 64 << 10;

/// How a client is told.
pub(super) fn status(failure: &Failure) -> Status {
    let code = code(&failure.error);
    let message = failure.error.to_string();
    match source(failure).and_then(|source| serde_json::to_vec(&source).ok()) {
        None => Status::new(code, message),
        Some(value) => {
            let place = Any { type_url: SOURCE.to_owned(), value };
            let details = Details { code: code.into(), message: message.clone(), details: vec![place] };
            Status::with_details(code, message, details.encode_to_vec().into())
        }
    }
}

fn source(failure: &Failure) -> Option<Source> {
    let (filename, text) = failure.script.as_ref().filter(|(_, text)| text.len() <= LARGEST)?;
    let line = place(&failure.error, filename)?;
    // The whole of an instruction that goes on over several lines.
    let lines = text.lines().skip(line - 1).take_while(|line| line.trim_end().ends_with('\\')).count();
    let range = Range { start: Position { line }, end: Position { line: line + lines } };
    let info = SourceInfo { filename: filename.clone(), data: STANDARD.encode(text) };
    Some(Source { info, ranges: vec![range] })
}

/// Clients write the names of most codes in front of the message, which says all there is to say.
fn code(error: &Error) -> Code {
    match error {
        Error::Unsupported(_) => Code::Unimplemented,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_an_instruction_are_named() {
        let text = "FROM a\nRUN b \\\n  && c\nRUN d\n";
        let error = Error::Failed("Dockerfile:2: The command failed".into());
        let failure = Failure { error, script: Some(("Dockerfile".into(), text.into())) };
        let source = source(&failure).expect("it has a place");
        assert_eq!((source.ranges[0].start.line, source.ranges[0].end.line), (2, 3));
        let status = status(&failure);
        assert_eq!(status.code(), Code::Unknown);
        let details = Details::decode(status.details()).expect("it can be read");
        assert_eq!(details.details[0].type_url, SOURCE);
    }

    #[test]
    fn a_failure_without_a_place_is_told_all_the_same() {
        let failure = Failure::from(Error::Unsupported("no".into()));
        assert_eq!((status(&failure).code(), status(&failure).message()), (Code::Unimplemented, "no"));
    }
}
