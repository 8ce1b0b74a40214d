//! What the YAML parser refuses, said so that a newcomer knows what to do: unquoted `@daily`, tabs, `: ` in a command.

use granit_parser::{ErrorKind, ScanError};

use super::{
    findings::related,
    node::Mark,
    parse::{Builder, Frame},
};

impl Builder<'_> {
    /// Reports the error that ended the reading, where the mistake is rather than where it was noticed.
    pub(super) fn scan_error(&self, error: &ScanError) {
        let line = error.marker().line() as u32;
        let column = error.marker().col() as u32 + 1;
        let at = Mark { file: self.file, line, column, end_line: line, end_column: column + 1 };
        let source = self.text.lines().nth(line.saturating_sub(1) as usize).unwrap_or("");
        let plain = |kind: &'static str, at: Mark, help: Option<&str>| {
            self.findings.error_help(kind, at, error.info(), help.map(str::to_owned));
        };
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            self.too_deep(at);
            return;
        }
        let indent = &source[..source.len() - source.trim_start().len()];
        if matches!(error.kind(), ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed) || indent.contains('\t')
        {
            self.findings.error_help(
                "tab_indentation",
                at,
                "the line is indented with a tab",
                Some("indent with spaces".to_owned()),
            );
            return;
        }
        if let Some(open) = self.open_flow()
            && open.line < line
        {
            self.findings.error_related(
                "invalid_yaml",
                open,
                "the bracket that opens here is not closed where it should be",
                Some(format!("close it; the first thing that does not fit is in line {line}")),
                vec![related(at, error.info())],
            );
            return;
        }
        if error.info().contains("quoted scalar") || error.info().contains("quote") {
            let open = self.open_quote().unwrap_or(at);
            self.findings.error_related(
                "invalid_yaml",
                open,
                "the quote that opens here is not closed",
                Some("close it on the same line, or write the text as a block after `|`".to_owned()),
                vec![related(at, error.info())],
            );
            return;
        }
        let say = |message: &str, help: &str| {
            self.findings.error_help("invalid_yaml", at, message, Some(help.to_owned()));
        };
        let value = source.split_once(':').map_or("", |(_, value)| value).trim_start();
        match error.kind() {
            ErrorKind::MissingAnchorOrAliasName if value.starts_with('*') => {
                say(
                    "a plain value cannot begin with `*`, which is an alias",
                    "quote the cron expression: `\"* * * * *\"`",
                );
            }
            ErrorKind::UnexpectedCharacter { character: '@' } => {
                say("a plain value cannot begin with `@`", "quote it: `\"@daily\"`");
            }
            ErrorKind::MappingValueNotAllowed if value.contains(": ") => {
                say("a plain value cannot have `: ` in it", "quote it, or write it as a block after `|`");
            }
            ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
                plain("invalid_yaml", at, Some("give it the same indentation as its neighbours"));
            }
            ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
                plain("invalid_yaml", at, Some("remove the control character"));
            }
            _ => plain("invalid_yaml", at, None),
        }
    }

    fn open_flow(&self) -> Option<Mark> {
        self.stack.iter().rev().find_map(|frame| match frame {
            Frame::Sequence { open, .. } | Frame::Mapping { open, .. } => open.flow.then_some(open.mark),
        })
    }

    /// The first quote after the last thing that was read whole.
    fn open_quote(&self) -> Option<Mark> {
        for (index, line) in self.text.lines().enumerate().skip(self.last.end_line.saturating_sub(1) as usize) {
            let skip = if index as u32 + 1 == self.last.end_line { self.last.end_column as usize - 1 } else { 0 };
            if let Some(at) = line.chars().skip(skip).position(|c| matches!(c, '"' | '\'')) {
                let (line, column) = (index as u32 + 1, (at + skip) as u32 + 1);
                return Some(Mark { file: self.file, line, column, end_line: line, end_column: column + 1 });
            }
        }
        None
    }
}
