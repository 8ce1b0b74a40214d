//! Any text as a template: compiling and rendering end, twice the same; what compiles says at rendering where it failed.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use updraft_core::{
    spec::TaskSpec,
    template::{Ref, RenderError, Resolved, check_syntax, render_text, render_value},
};

static SPEC: LazyLock<TaskSpec> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../spec.json")).expect("spec.json is a task")
});

static VALUES: LazyLock<Resolved> = LazyLock::new(|| {
    let xcom = Ref::XCom { task_id: "count".into(), key: "return_value".into(), map_index: None, part: None };
    let variable = Ref::Variable { key: "bucket".into() };
    [(xcom, Some(serde_json::json!({"rows": ["a", "b"], "n": 3}))), (variable, Some("s3://b".into()))].into_iter().collect()
});

fuzz_target!(|text: &str| {
    let compiles = check_syntax(text).is_ok();
    let rendered = render_text(text, "bash_command", &SPEC, &VALUES);
    assert_eq!(rendered, render_text(text, "bash_command", &SPEC, &VALUES), "a text rendered twice must be the same twice");
    match &rendered {
        Ok(_) => assert!(compiles, "what renders must compile"),
        Err(RenderError::Missing(refs)) => assert!(!refs.is_empty(), "nothing is missing, and nothing was rendered"),
        Err(RenderError::Failed(failure)) => assert_eq!(failure.field, "bash_command"),
    }
    let _ = render_value(text, "op_kwargs", &SPEC, &VALUES);
});
