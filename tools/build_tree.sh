# To be sourced: the package copied away, for builds of other kinds than the checkout's.

# copy_tree FOLDER: so that no checkout's modules change. What did not change keeps its time,
# and is not compiled again.
copy_tree() {
    local folder=$1 part
    mkdir -p "$folder"
    for part in setup.py pyproject.toml README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md LICENSE \
                src fastsock tests tools docs examples benchmarks; do
        rm -rf "$folder.new" && cp -a "$part" "$folder.new"
        find "$folder.new" -name '*.so' -delete
        if [ -d "$part" ]; then
            mkdir -p "$folder/$part" && cp -au "$folder.new/." "$folder/$part/"
        else
            cp -au "$folder.new" "$folder/$part"
        fi
    done
    rm -rf "$folder.new"
}
