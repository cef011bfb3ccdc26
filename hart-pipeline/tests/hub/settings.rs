//! The environment variables, which are those of Python's `huggingface_hub`.

use std::path::Path;

use hart_pipeline::hub::Hub;

use crate::folder;

/// How the settings read that an environment gives; the token is not in them.
fn settings(variables: &[(&str, &str)]) -> String {
    let variable = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
    };
    format!("{:?}", Hub::from_variables(variable, Some(Path::new("/home/me"))))
}

#[test]
fn the_cache_is_where_python_has_it() {
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[], "/home/me/.cache/huggingface/hub"),
        (&[("XDG_CACHE_HOME", "/xdg")], "/xdg/huggingface/hub"),
        (&[("XDG_CACHE_HOME", "/xdg"), ("HF_HOME", "/hf")], "/hf/hub"),
        (&[("HF_HOME", "~/hf")], "/home/me/hf/hub"),
        (&[("HF_HOME", "")], "/home/me/.cache/huggingface/hub"),
        (&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/models")], "\"/models\""),
    ];
    for (variables, cache) in cases {
        let settings = settings(variables);
        assert!(settings.contains(cache), "{variables:?}: {settings}");
    }
}

#[test]
fn mirrors_and_offline_are_settings() {
    assert!(settings(&[]).contains("\"https://huggingface.co\""));
    assert!(settings(&[("HF_ENDPOINT", "http://mirror/")]).contains("\"http://mirror\""));
    for (value, offline) in [("1", true), ("True", true), ("yes", true), ("0", false), ("", false)]
    {
        let settings = settings(&[("HF_HUB_OFFLINE", value)]);
        assert!(settings.contains(&format!("offline: {offline}")), "{value}: {settings}");
    }
}

#[test]
fn tokens_come_from_the_environment_or_a_file_and_are_not_shown() {
    let home = folder();
    let at = home.path().display().to_string();
    let has_token = |variables: &[(&str, &str)]| {
        let settings = settings(variables);
        assert!(!settings.contains("secret"), "{settings}");
        settings.contains("token: Some")
    };
    assert!(!has_token(&[("HF_HOME", &at)]));
    assert!(has_token(&[("HF_TOKEN", "hf_secret")]));
    assert!(!has_token(&[("HF_TOKEN", "hf_secret"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]));
    let file = home.path().join("token");
    std::fs::write(&file, "hf_secret\n").expect("a file");
    assert!(has_token(&[("HF_HOME", &at)]));
    assert!(has_token(&[("HF_TOKEN_PATH", &file.display().to_string())]));
}
