# To be sourced: the package copied away, for builds of other kinds than the checkout's.

# copy_tree FOLDER: what belongs to the project, committed or not. What did not change keeps its
# time, and is not compiled again; what is there no more goes.
copy_tree() {
    mkdir -p "$1"
    git ls-files -z --cached --others --exclude-standard \
        | while IFS= read -rd '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done >"$1.files"
    xargs -0 cp -au --parents -t "$1" <"$1.files"
    comm -z -13 <(sort -z "$1.files") <(cd "$1" && find . -type f \
        -not -path './build/*' -not -path '*/__pycache__/*' -not -name '*.so' -printf '%P\0' | sort -z) \
        | (cd "$1" && xargs -0r rm -f)
}
