#!/bin/sh
# Brings Chromium and its driver where Debian's packages can be installed; elsewhere says what is missing.
set -e
command -v chromedriver > /dev/null && { command -v chromium || command -v google-chrome; } > /dev/null && exit 0
if command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
    echo "installing chromium and chromium-driver" >&2
    apt-get update -q > /dev/null && apt-get install -y -q --no-install-recommends chromium chromium-driver fonts-dejavu-core > /dev/null && exit 0
fi
echo "the browser tests need Chromium or Chrome and chromedriver on the PATH: install them (Debian: apt-get install chromium chromium-driver), then run make test-browser again" >&2
exit 1
