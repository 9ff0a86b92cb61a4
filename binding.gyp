{
  "targets": [
    {
      "target_name": "hikyaku",
      "sources": [
        "native/addon.cc",
        "native/errors.cc",
        "native/sockets.cc",
        "native/reactor.cc",
        "native/relay.cc",
        "native/reactor_calls.cc",
        "native/sync.cc",
        "native/codec.cc",
        "native/map.cc",
        "native/deaths.cc"
      ],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"],
      "cflags_cc!": ["-fno-exceptions"],
      "cflags_cc": [
        "-std=c++17", "-O2", "-fvisibility=hidden",
        "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wno-cast-function-type"
      ],
      "conditions": [
        ["OS!='linux'", { "type": "none" }]
      ]
    }
  ]
}
