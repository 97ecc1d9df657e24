"""A faithful stand-in of SMILE core, SMILE main and SMILE WMS for tests and the demo.

Written from the facts alone (facts/smile-core-api.md, sections 2-8 and 11); it imports nothing of ours and holds no
line of SMILE's code. It is reached over HTTP only; see README.md in this folder for ports, seeds and faults.
"""
