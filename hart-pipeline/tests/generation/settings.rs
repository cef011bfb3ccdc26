//! Settings that travel with an image: all of them, readable for ever, enough to make it again.

use hart_core::HartBackend;
use hart_pipeline::text::{PaddingSide, SystemPrompt};
use hart_pipeline::{
    Effort, Error, GenerationHook, Image, ImageSettings, PipelineBuilder, Precision, Request,
    TransformerWeights,
};

use crate::{PIPELINE, build, builder, heart};

fn paint(builder: PipelineBuilder, request: &Request) -> Image {
    let pipeline = build(builder).expect("a pipeline");
    pipeline.generate(request).expect("an image").remove(0)
}

/// A pipeline as the settings of an image say.
fn builder_again(settings: &ImageSettings) -> PipelineBuilder {
    let said = |value: &Option<String>| value.clone().expect("a value of this version");
    let mut again = builder()
        .precision(settings.precision.parse().expect("a precision"))
        .weights(said(&settings.weights).parse().expect("weights"))
        .padding_side(said(&settings.padding_side).parse().expect("a side"))
        .system_prompt(SystemPrompt::from_settings(&said(&settings.system_prompt)).expect("one"));
    if let Some(rows) = settings.strip_height {
        again = again.strip_height(rows);
    }
    again
}

#[test]
fn everything_that_makes_an_image_is_enough_to_make_it_again() {
    let custom = SystemPrompt::Custom("Paint:\n".to_string());
    let cases: Vec<(PipelineBuilder, Request)> = vec![
        (builder(), heart()),
        (builder(), heart().guidance(0.0).top_k(3).smooth(false).mask_passes(3)),
        (builder(), heart().residual(false).top_p(0.7)),
        (builder(), heart().diffusion_steps("3").temperature(0.5)),
        (builder(), heart().effort(Effort::Fast)),
        (builder().precision(Precision::Int8), heart().effort(Effort::Faster)),
        (builder().system_prompt(SystemPrompt::None), heart()),
        (builder().system_prompt(custom).padding_side(PaddingSide::Left), heart()),
        (builder().weights(TransformerWeights::Raw).strip_height(4), heart()),
        (builder().precision(Precision::Bf16), heart()),
    ];
    for (builder, request) in cases {
        let first = paint(builder, &request);
        let png = first.to_png().expect("a file");
        let settings = ImageSettings::parse("first.png", &png).expect("settings");
        assert_eq!(&settings, first.settings());
        let request = Request::again(&settings).expect("a request");
        let again = paint(builder_again(&settings), &request);
        assert!(again.to_png().expect("a file") == png, "{settings:?}");
    }
}

#[test]
fn an_image_made_with_a_hook_says_so() {
    struct Silent;
    impl<B: HartBackend> GenerationHook<B> for Silent {
        fn name(&self) -> Option<String> {
            Some("silent".to_string())
        }
    }
    let outcomes = PIPELINE.generate_with_hook(&heart(), &mut Silent, &mut ());
    let outcome = outcomes.expect("outcomes").remove(0);
    let image = outcome.into_image().expect("an image");
    assert_eq!(image.settings().hook.as_deref(), Some("silent"));
    assert!(matches!(Request::again(image.settings()), Err(Error::Invalid { .. })));
}

/// Written by the first version of the library, which recorded less.
const OLD: &[u8] = include_bytes!("../data/cat-version-0.png");

#[test]
fn files_of_the_first_version_are_read() {
    let settings = ImageSettings::parse("old.png", OLD).expect("settings");
    assert_eq!((settings.version, settings.seed), (0, 5));
    assert_eq!(
        (settings.prompt.as_str(), settings.model.as_str()),
        ("a cat, 3D style", "embedded")
    );
    assert_eq!((settings.guidance, settings.top_k, settings.smooth), (1.5, Some(0), false));
    assert_eq!(settings.diffusion_steps.as_deref(), Some("8"));
    assert_eq!((settings.backend, settings.system_prompt, settings.size), (None, None, None));
}

#[test]
#[cfg(feature = "embedded")]
fn files_of_an_earlier_model_are_not_taken_for_those_of_this_one() {
    let settings = ImageSettings::parse("old.png", OLD).expect("settings");
    let request = Request::again(&settings).expect("a request");
    assert_eq!(request.items().expect("one image")[0].seed, 5);
    assert_ne!(settings.model, hart_pipeline::EMBEDDED);
}

#[test]
fn settings_of_a_later_version_are_refused() {
    let mut settings = PIPELINE.generate(&heart()).expect("an image")[0].settings().clone();
    settings.version = ImageSettings::VERSION + 1;
    let pixels = PIPELINE.generate(&heart()).expect("an image")[0].pixels().clone();
    let png = Image::new(pixels, settings).to_png().expect("a file");
    let error = ImageSettings::parse("later.png", &png).expect_err("a later version");
    assert!(error.to_string().contains("version"), "{error}");
}

#[test]
fn a_request_is_written_and_read() {
    let request = heart().count(3).size(48, 24).guidance(2.0).mask_passes(2).residual(false);
    let json = serde_json::to_string(&request).expect("JSON");
    assert_eq!(serde_json::from_str::<Request>(&json).expect("a request"), request);
    // A later version may add fields; what a file does not say is what is usual.
    let short: Request = serde_json::from_str(r#"{"prompts": ["a cat"]}"#).expect("a request");
    assert_eq!(short, Request::new("a cat"));
}
