def test_smoke(world):
    r = world.records
    print(r.registry().version, r.verify_chain("S1"))
    assert r.verify_chain("S1").ok
    s = r.save_findings([world.finding()], 1790000000000)
    assert s.opened
    assert r.save_findings([world.finding()], 1790000000001).unchanged
    assert r.verify_chain("S1").ok
