#!/usr/bin/env bash
# Popular purchases with curl, jq and xargs; prints one JSON array a user, like `acme popular NAME --json`.
#   popular.sh BASE_URL USERNAME…
set -euo pipefail
export base=${1%/} page=100
shift

get() { curl -sS --fail-with-body --retry 2 "$base/$1"; }

# All purchases of a product, a page after the other.
buyers() {
    local skip=0 rows
    while
        rows=$(get "purchases/by_product/$1?skip=$skip&limit=$page" | jq -c .purchases)
        printf '%s\n' "$rows"
        [ "$(jq length <<<"$rows")" -eq "$page" ]
    do
        skip=$((skip + page))
    done | jq -cs add
}

# A product with its number of purchases and its buyers, newest first; `reverse` twice keeps the API's order of ties.
product() {
    buyers "$1" >"$work/$1.rows" &
    get "products/$1" >"$work/$1.details"
    wait "$!"
    jq -c --slurpfile rows "$work/$1.rows" '
        ($rows[0] | reverse | sort_by(.date) | reverse) as $sorted
        | .product + {
            count: ($sorted | length),
            recent: ($sorted | map(.username) | to_entries | unique_by(.value) | sort_by(.key) | map(.value))
        }' "$work/$1.details" >"$work/$1"
}
export -f get buyers product

# The ids of the products that a user bought last.
recent() {
    local user
    user=$(jq -rn --arg name "$1" '$name | @uri')
    get "users/$user" >"$work/user.$user"
    get "purchases/by_user/$user?limit=5" |
        jq -r '[.purchases[].product_id] | to_entries | unique_by(.value) | sort_by(.key)[].value' >"$work/ids.$2"
}
export -f recent

work=$(mktemp -d)
export work
trap 'rm -rf "$work"' EXIT
index=0
for name in "$@"; do
    printf '%s\0%s\0' "$name" $((index++))
done | xargs -0 -n 2 -P 16 bash -euo pipefail -c 'recent "$@"' _
cat "$work"/ids.* | sort -u | xargs -r -P 16 -I{} bash -euo pipefail -c 'product {}'
for ((index = 0; index < $#; index++)); do
    while read -r id; do cat "$work/$id"; done <"$work/ids.$index" |
        jq -cs 'sort_by(-.count) | map({id, face, price, size, recent})'
done
