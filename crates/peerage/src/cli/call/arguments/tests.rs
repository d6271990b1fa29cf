use serde_json::{Value, json};

use super::{Given, parse, typed};

fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "path": {"type": "string"},
            "count": {"type": "integer"},
            "ratio": {"type": "number"},
            "deep": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "numbers": {"type": "array", "items": {"type": "integer"}},
            "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "either": {"type": ["string", "number"]},
            "color": {"$ref": "#/$defs/Color"},
            "level": {"enum": [1, 2, "high"]},
            "filter": {"type": "object"},
            "free": {}
        },
        "$defs": {"Color": {"enum": ["red", "green"], "type": "string"}}
    })
}

fn read(texts: &[&str], schema: Option<&Value>) -> Result<Value, String> {
    let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
    let given = parse(&texts).map_err(|failure| failure.problem.unwrap().to_string())?;
    let object = match given {
        Given::Whole(object) => Ok(object),
        Given::Pairs(pairs) => typed(pairs, schema),
        Given::Stdin => panic!("not typed here"),
    };
    object.map(Value::Object).map_err(|failure| {
        let problem = failure.problem.unwrap();
        format!("{} / {}", problem.detail, problem.hint.unwrap_or_default())
    })
}

#[test]
fn values_get_the_type_the_schema_says() {
    let schema = schema();
    let same = |text: &str, expected: Value| {
        assert_eq!(read(&[text], Some(&schema)).unwrap(), expected, "{text}");
    };
    same("path=/data", json!({"path": "/data"}));
    same("path=12", json!({"path": "12"}));
    same("path=a=b", json!({"path": "a=b"}));
    same("path=", json!({"path": ""}));
    same("count=12", json!({"count": 12}));
    same("ratio=0.5", json!({"ratio": 0.5}));
    same("deep=true", json!({"deep": true}));
    same("maybe=3", json!({"maybe": 3}));
    same("maybe=null", json!({"maybe": null}));
    same("either=1.5", json!({"either": 1.5}));
    same("either=007", json!({"either": "007"}));
    same("either=x", json!({"either": "x"}));
    same("color=red", json!({"color": "red"}));
    same("level=2", json!({"level": 2}));
    same("level=high", json!({"level": "high"}));
    same("filter={\"a\": 1}", json!({"filter": {"a": 1}}));
    same("tags=a", json!({"tags": ["a"]}));
    same("tags=[\"a\", \"b\"]", json!({"tags": ["a", "b"]}));
    same("numbers=7", json!({"numbers": [7]}));
    same("free=12", json!({"free": "12"}));
    same("free:=12", json!({"free": 12}));
    same("count:=\"x\"", json!({"count": "x"}));
}

#[test]
fn a_key_given_several_times_is_a_list() {
    let schema = schema();
    let read = |texts: &[&str]| read(texts, Some(&schema));
    assert_eq!(
        read(&["tags=a", "tags=2"]).unwrap(),
        json!({"tags": ["a", "2"]})
    );
    assert_eq!(
        read(&["numbers=1", "path=x", "numbers=2"]).unwrap(),
        json!({"numbers": [1, 2], "path": "x"})
    );
    assert!(read(&["path=a", "path=b"]).unwrap_err().contains("2 times"));
    assert!(read(&["numbers=1", "numbers=x"]).is_err());
}

#[test]
fn what_does_not_fit_is_told() {
    let schema = schema();
    let wrong = |text: &str| read(&[text], Some(&schema)).unwrap_err();
    assert!(wrong("count=many").starts_with("`count` is a whole number, which `many` is not"));
    assert!(wrong("count=1.5").contains("a whole number"));
    assert!(wrong("deep=yes").contains("true or false"));
    assert!(wrong("color=blue").contains("one of \"red\", \"green\""));
    assert!(wrong("cuont=1").ends_with("did you mean `count`?"));
    assert!(wrong("zzz=1").contains("it takes color, count"));
    assert!(wrong("count:=oops").contains("not JSON"));
    assert!(wrong("=x").contains("neither"));
    assert!(wrong(":=1").contains("neither"));
    assert!(wrong("path").contains("neither"));
}

#[test]
fn without_a_schema_texts_stay_texts() {
    let pairs = ["a=1", "b=x", "b=y", "c:=[1]"];
    let expected = json!({"a": "1", "b": ["x", "y"], "c": [1]});
    assert_eq!(read(&pairs, None).unwrap(), expected);
}

#[test]
fn a_json_object_is_taken_as_it_is() {
    assert_eq!(read(&[], None).unwrap(), json!({}));
    assert_eq!(
        read(&["{\"count\": \"x\"}"], Some(&schema())).unwrap(),
        json!({"count": "x"})
    );
    assert!(read(&["{oops"], None).is_err());
    assert_eq!(parse(&["-".to_owned()]).unwrap(), Given::Stdin);
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let schema = json!({
        "properties": {"a": {"$ref": "#/properties/a"}, "b": {"anyOf": [{"$ref": "#"}, {"type": "integer"}]}}
    });
    assert_eq!(read(&["a=1"], Some(&schema)).unwrap(), json!({"a": "1"}));
    assert_eq!(read(&["b=1"], Some(&schema)).unwrap(), json!({"b": 1}));
}
