"""A relying party's validator in a process of its own: validates a token again and again until it is refused.

Usage: watching_validator.py URL ROOT REALM AUDIENCE. Reads one token a line from standard input; answers
"accepting" when it was accepted once, and then one JSON line with the time of the last acceptance (seconds
since 1970).
"""

import json
import sys
import time

from sealwright_validate import Expect, Refused, Trust, Unavailable, Validator

PAUSE = 0.01


def say(told: object) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve tokens until the input ends."""
    url, root, realm, audience = sys.argv[1:]
    checker = Validator(trust=Trust.sealwright(url, root=root))
    checker.start()
    expect = Expect(audience=audience, realm=realm)
    for line in sys.stdin:
        token, last = line.strip(), 0.0
        while True:
            began = time.time()
            try:
                checker.validate(token, expect)
            except (Refused, Unavailable) as refusal:
                if last:
                    say({"last": last, "refused": str(refusal)})
                    break
                time.sleep(PAUSE)
                continue
            if not last:
                say("accepting")
            last = began
            time.sleep(PAUSE)
    checker.close()


if __name__ == "__main__":
    main()
