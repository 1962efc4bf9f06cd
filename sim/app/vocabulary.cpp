#include "sim/app/vocabulary.hpp"

namespace forksim {

const Vocabulary& app_vocabulary() {
  static const Vocabulary kVocabulary{{
#define METRIC(name, from, to) #name,
#include "sim/metrics/metrics.def"
#undef METRIC
  }};
  return kVocabulary;
}

}  // namespace forksim
