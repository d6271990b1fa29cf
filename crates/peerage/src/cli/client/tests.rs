use super::segment;

#[test]
fn names_with_slashes_stay_one_part_of_a_path() {
    assert_eq!(segment("workstation"), "workstation");
    assert_eq!(segment("o://acme/ann"), "o%3A%2F%2Facme%2Fann");
    assert_eq!(segment("żółw?#"), "%C5%BC%C3%B3%C5%82w%3F%23");
}
