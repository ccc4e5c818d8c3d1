"""The commands of `faro`, by what they are about.

training      faro data, mix, train, frontier, score, constraints, report, card
text          faro encoder, embed, export
people        faro disagree, ask, pebs, compare
policies      faro tune
choosing      faro choose
calibrating   faro calibrate
neighbours    faro neighbours
transfer      faro transfer
serving       faro agreement, jury, rerank
certificates  faro certify, gate, verify, ledger, policy, envelope
"""
