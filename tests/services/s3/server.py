"""moto's server. It decodes the query of a request before it signs it, so that no list of a folder would be let in: put right here."""

import sys
from urllib.parse import parse_qsl, quote

from moto.iam import access_control
from moto.server import main

create = access_control.IAMRequestBase._create_aws_request


def create_encoded(self):
    decoded = self._path
    path, _, query = decoded.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    if pairs:
        encoded = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)
        self._path = f"{path}?{encoded}"
    try:
        return create(self)
    finally:
        self._path = decoded


access_control.IAMRequestBase._create_aws_request = create_encoded
sys.exit(main())
