"""The commands of `faro`, by what they are about.

data          faro data, mix
training      faro train, frontier
scoring       faro score
reports       faro report, card
listing       faro constraints, models, losses, advantages, settings
text          faro encoder, embed, export
people        faro disagree, ask, pebs, compare
policies      faro tune
choosing      faro choose
calibrating   faro calibrate
neighbours    faro neighbours
transfer      faro transfer
serving       faro agreement, jury, rerank
certifying    faro certify, gate
verifying     faro verify
auditing      faro ledger, policy
envelopes     faro envelope
"""
