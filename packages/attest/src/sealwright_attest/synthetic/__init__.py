"""Evidence under roots that are made on the spot, for drills and tests: every platform, and every flaw by
name.

It may never be accepted by `appraise`, whose roots are the shipped ones: whoever wants this evidence judged
passes these roots to `appraise_with_anchors` in so many words. Keys live as long as the objects that hold
them.
"""
