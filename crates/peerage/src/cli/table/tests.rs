use super::{fields, table};

fn rows() -> Vec<Vec<String>> {
    let long = "a description that is much longer than any terminal would like it to be";
    (0..3)
        .map(|number| {
            vec![
                format!("peer{number}/files/read"),
                long.to_owned(),
                String::new(),
            ]
        })
        .collect()
}

#[test]
fn tables_fit_the_terminal() {
    for width in [20, 40, 60, 80, 200] {
        let text = table(Some(width), &["tool", "description", "note"], rows());
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= usize::from(width), "{widest} > {width}\n{text}");
        assert!(text.starts_with("TOOL"), "{text}");
    }
}

#[test]
fn without_a_terminal_a_row_is_a_line() {
    let text = table(None, &["tool", "description", "note"], rows());
    assert_eq!(text.lines().count(), 4);
    assert!(text.lines().all(|line| !line.ends_with(' ')));
}

#[test]
fn fields_stand_under_each_other() {
    let pairs = [
        ("name", "ann".to_owned()),
        ("empty", String::new()),
        ("listen", "one\ntwo".to_owned()),
    ];
    assert_eq!(fields(&pairs), "name    ann\nlisten  one\n        two");
}
