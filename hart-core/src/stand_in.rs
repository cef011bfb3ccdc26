//! What is found where a model's file should be: a download that went wrong, as a rule.

/// The longest text that is looked at as a whole, in bytes: pages and notes of servers are short.
const MAX_TEXT: usize = 1 << 16;

/// What lies in the place of a file that could not be read as what its name says, and the way to mend
/// it; `None` when it is nothing that is known.
pub fn stand_in(content: &[u8]) -> Option<String> {
    let begins = |start: &[u8]| content.starts_with(start);
    let text = std::str::from_utf8(&content[..content.len().min(MAX_TEXT)]).ok();
    let start = text.map(|text| text.trim_start().chars().take(200).collect::<String>());
    let start = start.unwrap_or_default().to_ascii_lowercase();
    if content.is_empty() {
        return Some("the file is empty: download or copy it again".to_string());
    }
    if start.starts_with("version https://git-lfs.github.com/") {
        let problem = "a Git LFS pointer in place of the content: run `git lfs pull` in its folder";
        return Some(problem.to_string());
    }
    if ["<!doctype", "<html", "<?xml", "<head", "<!--"].iter().any(|tag| start.starts_with(tag)) {
        let problem = "a web page (HTML) in place of the content: download the file again, by the \
                       address of the file itself";
        return Some(problem.to_string());
    }
    if begins(&[0x1f, 0x8b]) {
        return Some("a gzip archive: unpack it first".to_string());
    }
    if content.get(257..262) == Some(b"ustar") {
        return Some(
            "a tar archive: unpack it first, or save an old PyTorch file anew".to_string(),
        );
    }
    None
}

/// As [`stand_in`], of a file that should be of numbers: any short text is none.
pub(crate) fn stand_in_for_weights(content: &[u8]) -> Option<String> {
    stand_in(content).or_else(|| {
        let text = std::str::from_utf8(content).ok().filter(|text| text.len() <= MAX_TEXT)?;
        let plain = |letter: char| !letter.is_control() || letter.is_whitespace();
        if text.len() < 9 || !text.chars().all(plain) {
            return None;
        }
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let line: String = line.chars().take(60).collect();
        Some(format!("a text in place of the weights, `{line}`: download the file again"))
    })
}
